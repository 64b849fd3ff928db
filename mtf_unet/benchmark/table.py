"""The benchmark's table: medians, ratios and what was wanted of them."""

from collections.abc import Callable
import dataclasses
import statistics

from mtf_unet.benchmark import rounds as rounds_lib
from mtf_unet.benchmark import variants as variants_lib

_Rounds = list[dict[str, rounds_lib.Report]]

# Largest ratio wanted, by variant and column.
TARGETS = {
    'mesh 1x1x1': {'time / Keras': 1.0, 'time / PyTorch': 0.75},
    'mesh 2x2x2': {'time / Keras': 1.1},
}
MEMORY_TARGET = 1.3
# Keras against PyTorch on the machine on which the targets were set.
USUAL_KERAS_TO_TORCH = 0.71
_NEAR = 0.07


@dataclasses.dataclass(frozen=True)
class Row:
  """One variant: medians over the rounds.

  Attributes:
    variant: its name.
    mode: how it ran.
    seconds: of a step, the median of the rounds' medians; None if it failed.
    cpu_seconds: of a step, all threads together, likewise; other jobs on the
      machine lengthen a step, and hardly this.
    peak_mib: peak resident set above the idle process's.
    ratios: by column, the median over the rounds of the ratio within a round.
    wanted: by column, the largest ratio wanted.
    note: why there are no figures, else ''.
  """
  variant: str
  mode: str
  seconds: float | None
  cpu_seconds: float | None
  peak_mib: float | None
  ratios: dict[str, float]
  wanted: dict[str, float]
  note: str

  def verdicts(self) -> list[str]:
    """Says of each wanted ratio whether it is met."""
    return [
        f'{column} <= {limit:g}: '
        + ('met' if self.ratios[column] <= limit else 'missed')
        for column, limit in self.wanted.items() if column in self.ratios]


def _ratio(rounds: _Rounds, name: str, baseline: str,
           figure: Callable[[rounds_lib.Report], float]) -> float | None:
  ratios = [figure(reports[name]) / figure(reports[baseline])
            for reports in rounds if 'seconds' in reports[name]
            and 'seconds' in reports[baseline]]
  return statistics.median(ratios) if ratios else None


def _row(rounds, variant):
  name = variant.name
  reports = [reports[name] for reports in rounds]
  good = [report for report in reports if 'seconds' in report]
  memory = lambda report: report['peak_mib']
  ratios = {
      'time / Keras': _ratio(rounds, name, variants_lib.KERAS.name,
                             rounds_lib.seconds_per_step),
      'time / PyTorch': _ratio(rounds, name, variants_lib.TORCH.name,
                               rounds_lib.seconds_per_step),
      'memory / Keras': _ratio(rounds, name, variants_lib.KERAS.name, memory),
  }
  wanted = dict(TARGETS.get(name, {}))
  if variant.blocks:
    wanted['memory / Keras'] = MEMORY_TARGET
  median = lambda figure: statistics.median(map(figure, good)) if good else None
  return Row(
      variant=name, mode=reports[0]['mode'],
      seconds=median(rounds_lib.seconds_per_step),
      cpu_seconds=median(
          lambda report: statistics.median(report['cpu_seconds'])),
      peak_mib=median(memory),
      ratios={column: value for column, value in ratios.items() if value},
      wanted=wanted, note=reports[-1].get('note', ''))


def rows(rounds: _Rounds) -> list[Row]:
  """Sums the rounds up, one row for each variant."""
  return [_row(rounds, variant) for variant in variants_lib.ALL]


def keras_to_torch(table: list[Row]) -> str:
  """Says how Keras compares with PyTorch here; '' without PyTorch."""
  ratio = next(row for row in table if row.variant == 'Keras').ratios.get(
      'time / PyTorch')
  if ratio is None:
    return ''
  near = abs(ratio - USUAL_KERAS_TO_TORCH) <= _NEAR
  return (f'Keras takes {ratio:.2f} of the time of PyTorch here, '
          f'{"near" if near else "NOT near"} the {USUAL_KERAS_TO_TORCH} of the '
          'machine on which the targets were set.')


_COLUMNS = ('time / Keras', 'time / PyTorch', 'memory / Keras')


def markdown(table: list[Row]) -> str:
  """Writes the table in Markdown, aligned so that a terminal shows it too."""
  lines = [['variant', 'mode', 's / step', 'CPU s / step', 'peak MiB',
            *_COLUMNS, 'wanted']]
  for row in table:
    if row.seconds is None:
      figures = ['-'] * (3 + len(_COLUMNS))
    else:
      figures = [f'{row.seconds:.3f}', f'{row.cpu_seconds:.3f}',
                 f'{row.peak_mib:.0f}'] + [
          f'{row.ratios[column]:.2f}' if column in row.ratios else '-'
          for column in _COLUMNS]
    lines.append([row.variant, row.mode, *figures,
                  row.note or '; '.join(row.verdicts())])
  widths = [max(map(len, column)) for column in zip(*lines)]
  lines.insert(1, ['-' * width for width in widths])
  return '\n'.join(
      '| ' + ' | '.join(cell.ljust(width) for cell, width in zip(
          line, widths)) + ' |' for line in lines) + '\n'
