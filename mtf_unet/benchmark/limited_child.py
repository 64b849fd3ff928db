"""Runs a process under a limit of resident memory, which this one watches.

What the system offers does not fit. RLIMIT_AS (`ulimit -v`) counts addresses,
of which TensorFlow's allocator and every thread reserve more than they use;
RLIMIT_RSS does nothing on Linux; a control group needs rights that a user
lacks. So this process looks, many times a second, at the peak that Linux keeps
for each process (VmHWM), and kills one that is above the limit. That peak does
not forget what was given back between two looks.

Processes that the child starts are not counted. Linux only.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import ctypes
import dataclasses
import os
import pathlib
import signal
import subprocess
import time

from mtf_unet.benchmark import measurement
from mtf_unet.benchmark import rounds

_SECONDS_BETWEEN_LOOKS = 0.05
_MOST_EXPENDABLE = '1000'
# Of prctl.
_PR_SET_PDEATHSIG = 1
_LIBRARY = ctypes.CDLL(None)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How a process ended.

  Attributes:
    report: what it printed, or a 'note' that says why there is nothing.
    peak_mib: the largest resident set that was seen.
    wall_s: seconds that it ran.
  """
  report: rounds.Report
  peak_mib: float
  wall_s: float


def over(limit_mib: float) -> str:
  """Returns the note of a process that went over the limit."""
  return f'failed: more than {limit_mib * 2 ** 20 / 1e9:.3g} GB'


def run(arguments: Sequence[str], *, limit_mib: float, timeout_s: float,
        environment: Mapping[str, str]) -> Outcome:
  """Runs a process that prints its report as JSON on its last line.

  Should memory run out all the same, the system is told to end this process
  before any other.

  Args:
    arguments: the command line.
    limit_mib: resident memory above which it is killed.
    timeout_s: seconds until it is given up.
    environment: variables beside those of this process.
  """
  start = time.perf_counter()
  with subprocess.Popen(
      arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      env=os.environ | environment, preexec_fn=_end_with_parent) as child:
    try:
      # It may have ended by now.
      with contextlib.suppress(OSError):
        pathlib.Path(f'/proc/{child.pid}/oom_score_adj').write_text(
            _MOST_EXPENDABLE, encoding='ascii')
      report, peak = _watch(child, limit_mib, start + timeout_s)
    finally:
      child.kill()
  if report is None:
    report = {'note': over(limit_mib) if peak > limit_mib else
              f'failed: not done after {timeout_s:.0f} s'}
  return Outcome(report, peak, time.perf_counter() - start)


def _end_with_parent():
  """Has the system kill the child once nobody is left to watch it."""
  _LIBRARY.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(child, limit_mib, deadline):
  """Returns the report, None where the child has to go, and its peak in MiB."""
  peak = 0.0
  while peak <= limit_mib and time.perf_counter() < deadline:
    try:
      output, error = child.communicate(timeout=_SECONDS_BETWEEN_LOOKS)
      return rounds.report_of(child.returncode, output, error), peak
    except subprocess.TimeoutExpired:
      # A process that has just ended has no memory to be read.
      with contextlib.suppress(OSError):
        peak = max(peak, measurement.peak_resident_mib(child.pid))
  return None, peak
