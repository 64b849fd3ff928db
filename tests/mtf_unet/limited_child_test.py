"""A process that goes too far is ended; one that does not is left alone."""

import os
import subprocess
import sys

from mtf_unet.benchmark import limited_child
from mtf_unet.benchmark import measurement
from tests.mtf_unet import user_environment

# Never reached: what ends a child here is not the clock.
_LONG_S = 600.0
_MIB = 2 ** 20


def _run(program, *, limit_mib=2048.0, timeout_s=_LONG_S, environment=None):
  return limited_child.run([sys.executable, '-c', program],
                           limit_mib=limit_mib, timeout_s=timeout_s,
                           environment=environment or {})


def test_process_within_the_limit_hands_over_its_report():
  outcome = _run('import os; print("{\\"a\\": " + os.environ["A"] + "}")',
                 environment={'A': '3'})
  assert outcome.report == {'a': 3}
  assert 0 < outcome.wall_s < _LONG_S


def test_process_above_the_limit_is_killed_with_its_peak_told():
  outcome = _run(f'import time; x = b"1" * {300 * _MIB}; time.sleep(3600)',
                 limit_mib=100.0)
  assert outcome.report == {'note': 'failed: more than 0.105 GB'}
  assert 100.0 < outcome.peak_mib < 400.0


def test_memory_given_back_before_a_look_counts():
  outcome = _run(
      f'import time; x = b"1" * {300 * _MIB}; del x; time.sleep(3600)',
      limit_mib=250.0)
  assert outcome.report == {'note': 'failed: more than 0.262 GB'}


def test_reserved_addresses_do_not_count():
  outcome = _run(f'import mmap; x = mmap.mmap(-1, {4096 * _MIB}); '
                 'print("{}")', limit_mib=200.0)
  assert outcome.report == {}


def test_process_that_takes_too_long_is_given_up():
  outcome = _run('import time; time.sleep(3600)', timeout_s=0.5)
  assert outcome.report == {'note': 'failed: not done after 0 s'}


def test_process_that_fails_says_why():
  outcome = _run('import sys; sys.exit("out of luck")')
  assert outcome.report == {'note': 'failed: exit status 1: out of luck'}


def test_process_ended_by_a_signal_says_which():
  outcome = _run('import os, signal; os.kill(os.getpid(), signal.SIGABRT)')
  assert outcome.report == {'note': 'failed: signal 6: no message'}


def test_system_is_told_to_end_the_child_first():
  outcome = _run('import time\nwhile True:\n  text = open('
                 '"/proc/self/oom_score_adj").read()\n  if text != "0\\n": '
                 'break\n  time.sleep(0.01)\nprint(int(text))')
  assert outcome.report == 1000


def test_child_ends_with_the_process_that_watches_it(tmp_path):
  # The child opens the pipe's other end and holds it until it ends.
  pipe = tmp_path / 'pipe'
  os.mkfifo(pipe)
  program = f'import time; held = open("{pipe}", "w"); time.sleep(600)'
  parent = subprocess.Popen([sys.executable, '-c', (
      'import sys\nfrom mtf_unet.benchmark import limited_child\n'
      f'limited_child.run([sys.executable, "-c", {program!r}], '
      'limit_mib=2048.0, timeout_s=3600.0, environment={})')],
                            env=user_environment.variables())
  with open(pipe) as stream:
    parent.kill()
    parent.wait()
    assert stream.read() == ''


def test_this_process_is_not_counted():
  held = b'1' * (300 * _MIB)
  assert measurement.resident_mib() > 300
  assert _run('print("{}")', limit_mib=200.0).report == {}
  assert len(held) == 300 * _MIB
