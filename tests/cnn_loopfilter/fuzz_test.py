"""The fuzzer as it is run: a thousand cases, and what a failure leaves."""

import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
_SCRIPTS = _ROOT / 'scripts' / 'cnn_loopfilter'
# Breaks one reader, then goes on as fuzz.py.
_BROKEN = f"""
import sys
sys.path[:0] = [{str(_SCRIPTS)!r}]
import fuzz_targets
def broken(rng, corpus, folder):
  (folder / 'input').write_bytes(rng.randbytes(4))
  if rng.random() < 0.2:
    %s
  return True
fuzz_targets.TARGETS['yuv'] = fuzz_targets.Target(broken, 1)
import fuzz, command_line
command_line.run(fuzz.main)
"""


def _run(*words):
  return subprocess.run(
      [sys.executable, *words], capture_output=True, text=True, timeout=600,
      env={**os.environ, 'PYTHONPATH': str(_ROOT)})


def test_a_thousand_cases_end_in_errors_or_right_results(tmp_path):
  done = _run(str(_SCRIPTS / 'fuzz.py'), '--cases=1000', '--seed=0',
              f'--failures={tmp_path / "failures"}')
  assert done.returncode == 0, done.stdout + done.stderr
  assert not (tmp_path / 'failures').exists()
  rows = [row.split() for row in done.stdout.splitlines()[2:]
          if row.startswith('| ')]
  assert sum(int(row[3]) for row in rows) >= 1000 - 100 * (
      'skipped' in done.stdout)
  # Both ends are met by every reader.
  assert all(int(row[5]) and int(row[7]) for row in rows)


@pytest.mark.parametrize(('fault', 'message'), [
    ('raise KeyError(3)', 'KeyError: 3'),
    ('bytes(2 ** 40)', 'MemoryError'),
    ('while True: pass', 'more than 1 s'),
    ('raise fuzz_targets.Mismatch("a bit")', 'a bit'),
], ids=['exception', 'memory', 'hang', 'mismatch'])
def test_a_failure_is_kept_and_comes_again_by_its_seed(
    tmp_path, fault, message):
  words = ('-c', _BROKEN % fault, '--target=yuv', '--seed=5', '--seconds=1',
           f'--failures={tmp_path}')
  done = _run(*words, '--cases=6')
  assert done.returncode == 1
  kept = sorted(tmp_path.iterdir())
  assert f'{len(kept)} cases failed' in done.stderr
  assert message in (kept[0] / 'failure.txt').read_text()
  number = kept[0].name.rsplit('_', 1)[1]
  data = (kept[0] / 'input').read_bytes()
  (kept[0] / 'input').unlink()
  again = _run(*words, f'--case={number}')
  assert '1 cases failed' in again.stderr
  assert (kept[0] / 'input').read_bytes() == data


def test_a_case_needs_its_target():
  done = _run(str(_SCRIPTS / 'fuzz.py'), '--case=3')
  assert (done.returncode, done.stderr) == (
      1, 'error: --case: expected --target beside it\n')
