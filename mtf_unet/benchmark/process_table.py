"""The table of one process against several: medians and ratios."""

from collections.abc import Sequence
import statistics

from mtf_unet.benchmark import process_rows
from mtf_unet.benchmark import rounds as rounds_lib

# Of four workers against one process that holds the whole volume.
TIME_TARGET, MEMORY_TARGET, TARGET_WORKERS = 1.25, 0.30, 4
_COLUMNS = ('', 's / step', '/ first', 'CPU s / step', 'peak MiB per process',
            '/ first', 'client MiB', 'MiB between devices',
            'MiB on the loopback', 'loss', 'wanted')


def _peak(report):
  """The largest process counts."""
  return max(report['peak_mib'])


def _cells(row, reports, baselines):
  """The figures of a row; ratios are taken within a round."""
  pairs = [(report, baseline) for report, baseline in zip(reports, baselines)
           if 'note' not in report and 'note' not in baseline]
  good = [report for report in reports if 'note' not in report]
  if not good:
    return [row.name, *['-'] * (len(_COLUMNS) - 2), reports[-1]['note']]
  median = lambda figure: statistics.median(map(figure, good))
  ratio = lambda figure: statistics.median(
      figure(report) / figure(baseline) for report, baseline in pairs)
  verdicts, ratios = [], ['-', '-']
  if pairs:
    ratios = [ratio(rounds_lib.seconds_per_step), ratio(_peak)]
    if row.workers == TARGET_WORKERS:
      verdicts = [
          f'{name} <= {limit:g}: {"met" if value <= limit else "missed"}'
          for name, value, limit in zip(('time', 'memory'), ratios,
                                        (TIME_TARGET, MEMORY_TARGET))]
    ratios = [f'{value:.2f}' for value in ratios]
  return [row.name, f'{median(rounds_lib.seconds_per_step):.3f}', ratios[0],
          f'{median(lambda r: statistics.median(r["cpu_seconds"])):.3f}',
          f'{median(_peak):.0f}', ratios[1],
          f'{median(lambda r: r["client_mib"]):.0f}',
          f'{good[0]["exchanged_mib"]:.1f}',
          f'{median(lambda r: r["loopback_mib"]):.1f}',
          f'{good[-1]["loss"]:.5f}', '; '.join(verdicts)]


def markdown(rows: Sequence[process_rows.Row],
             rounds: Sequence[dict[str, rounds_lib.Report]]) -> str:
  """Writes the table in Markdown.

  Args:
    rows: the first is what the others are compared with.
    rounds: for each round the reports by the row's name.
  """
  reports = {row: [each[row.name] for each in rounds] for row in rows}
  lines = [list(_COLUMNS), ['---'] * len(_COLUMNS)]
  lines += [_cells(row, reports[row], reports[rows[0]]) for row in rows]
  return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines) + '\n'
