"""The table of the largest cubes that fit."""

from mtf_unet.benchmark import rounds
from mtf_unet.benchmark import trials as trials_lib

_COLUMNS = ('', 'largest cube', 'peak, GB', 's / step', 'CPU s / step',
            'the next cube', 'tried')


def _cells(contender, trials):
  if not trials:
    note = f'{contender.variant.requires} is not installed'
    return [contender.name, *['-'] * (len(_COLUMNS) - 2), note]
  by_size = sorted(trials, key=lambda trial: trial.size)
  fitting = [trial for trial in by_size if trial.fits]
  figures = ['-'] * 4
  if fitting:
    best = fitting[-1]
    figures = [f'{best.size}^3', f'{best.peak_gb:.2f}',
               f'{rounds.seconds_per_step(best.report):.1f}',
               f'{best.cpu_seconds:.1f}']
  # The search ends with one that fails.
  failed = next(trial for trial in by_size if not trial.fits)
  return [contender.name, *figures,
          f'{failed.size}^3 {failed.report["note"]} ({failed.wall_s:.0f} s)',
          ', '.join(str(trial.size) for trial in trials)]


def markdown(record: trials_lib.Record) -> str:
  """Writes the table of a search that is done, in Markdown.

  Args:
    record: its trials; a contender without any is not installed.
  """
  lines = [_COLUMNS, ('---',) * len(_COLUMNS)]
  lines += [_cells(contender, record.trials(contender))
            for contender in trials_lib.CONTENDERS]
  return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines) + '\n'
