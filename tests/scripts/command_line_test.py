"""How a script ends."""

import subprocess
import sys

import pytest

from tests import script_server

_PROGRAM = """
import atexit, sys
import command_line
from mtf_unet import errors
atexit.register(print, 'Python has ended')
def main():
  print('at work')
  {act}
command_line.run(main, finalize={finalize})
"""


def _run(act, finalize):
  return subprocess.run(
      [sys.executable, '-c', _PROGRAM.format(act=act, finalize=finalize)],
      capture_output=True, text=True, check=False,
      env={'PYTHONPATH': f'{script_server.ROOT}:{script_server.ROOT}'
           '/scripts/shared'})


@pytest.mark.parametrize('act, status, told', [
    ('pass', 0, ''),
    ('raise errors.InputError("a: got 1,\\n  expected 2")', 1,
     'error: a: got 1, expected 2\n'),
    ('raise KeyboardInterrupt', 1, 'error: stopped\n'),
    ('sys.exit(2)', 2, ''),
    ('sys.exit("no device")', 1, 'no device\n'),
], ids=['well', 'input', 'ctrl-c', 'status', 'words'])
def test_the_end_is_told_by_status_and_one_line(act, status, told):
  done = _run(act, finalize=False)
  assert (done.returncode, done.stderr) == (status, told)
  assert done.stdout.startswith('at work\n')


def test_a_script_may_end_before_python_takes_itself_down():
  assert [_run('pass', finalize).stdout for finalize in (True, False)] == [
      'at work\nPython has ended\n', 'at work\n']
