"""Finds the largest cube whose training step fits a limit of memory.

A trial is a fresh process that runs the step at one size. Memory grows with the
voxels, so two small trials tell nearly where the limit lies; from there the
search goes by single steps of the grid, until of two neighbours one fits and
one does not. A trial that does not fit costs little: it ends where it crosses
the limit.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math

from mtf_unet.benchmark import limited_child
from mtf_unet.benchmark import trials as trials_lib

_FIRST_SIZE = 64
_MIB_PER_GB = 1e9 / 2 ** 20


def next_size(trials: Sequence[trials_lib.Trial], grid: int, limit_gb: float
              ) -> int | None:
  """Says which size to try next.

  Args:
    trials: those so far, in any order.
    grid: sizes are multiples of it.
    limit_gb: the limit.

  Returns:
    The size; None where the answer is known, or not even one step of the grid
    fits.
  """
  fitting = sorted((trial for trial in trials if trial.fits),
                   key=lambda trial: trial.size)
  low = fitting[-1].size if fitting else 0
  high = min((trial.size for trial in trials if not trial.fits),
             default=math.inf)
  if high - low <= grid:
    return None
  if fitting:
    guess = _predicted(fitting, limit_gb)
  else:
    guess = _FIRST_SIZE if high == math.inf else high / 2
  return min(max(int(guess) // grid * grid, low + grid), high - grid)


def _predicted(fitting, limit_gb):
  """The edge at which a line through the last two peaks meets the limit."""
  last, *before = fitting[:-3:-1]
  if before:
    size, peak_gb, farthest = before[0].size, before[0].peak_gb, math.inf
  else:
    # A line from the idle process is too steep: graph and kernels are there
    # at any size.
    size, peak_gb = 0, last.report['idle_mib'] / _MIB_PER_GB
    farthest = 2 * last.size
  rise = last.peak_gb - peak_gb
  if rise <= 0:
    # Too small to be told from what every process takes.
    return 2 * last.size
  voxels = last.size ** 3 + (limit_gb - last.peak_gb) / rise * (
      last.size ** 3 - size ** 3)
  return min(math.cbrt(voxels), farthest)


def try_size(arguments: Sequence[str], contender: trials_lib.Contender,
             size: int, *, limit_gb: float, timeout_s: float
             ) -> trials_lib.Trial:
  """Runs one trial.

  Args:
    arguments: the command line of its process, which prints what
      `measurement.measure` returns.
    contender: whose environment it gets.
    size: that the process computes.
    limit_gb: the limit.
    timeout_s: seconds until it is given up.
  """
  outcome = limited_child.run(
      arguments, limit_mib=limit_gb * _MIB_PER_GB, timeout_s=timeout_s,
      environment=contender.environment)
  report, peak_gb = outcome.report, outcome.peak_mib / _MIB_PER_GB
  if 'note' not in report:
    # The last look may have missed the end.
    peak_gb = max(peak_gb, (report['idle_mib'] + report['peak_mib'])
                  / _MIB_PER_GB)
    if peak_gb > limit_gb:
      report = {'note': limited_child.over(limit_gb * _MIB_PER_GB)}
  return trials_lib.Trial(size, peak_gb, outcome.wall_s, report)


def search(record: trials_lib.Record,
           command: Callable[[trials_lib.Contender, int], list[str]], *,
           grid: int, limit_gb: float, timeout_s: float,
           say: Callable[[str], None]) -> None:
  """Tries sizes of every contender that is installed, until all are known.

  Args:
    record: what has been tried; receives every trial.
    command: from contender and size to the command line of a trial.
    grid: sizes are multiples of it.
    limit_gb: the limit.
    timeout_s: seconds until a trial is given up.
    say: receives a line about each trial.
  """
  for contender in trials_lib.CONTENDERS:
    if not contender.variant.installed:
      continue
    while True:
      size = next_size(record.trials(contender), grid, limit_gb)
      if size is None:
        break
      trial = try_size(command(contender, size), contender, size,
                       limit_gb=limit_gb, timeout_s=timeout_s)
      record.add(contender, trial)
      say(f'{contender.name}: {size}^3: {trial.peak_gb:.2f} GB, '
          f'{trial.wall_s:.0f} s, '
          + ('fits' if trial.fits else trial.report['note']))
