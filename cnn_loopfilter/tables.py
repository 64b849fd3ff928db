"""Tables of an evaluation, in JVET's form, for any way of writing them.

BD-rates in percent by PSNR of Y, U and V; by SSIM of Y; by VMAF where it was
measured; EncT and DecT in percent of the anchor's where times were.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

from cnn_loopfilter import comparison
from cnn_loopfilter import evaluation
from cnn_loopfilter import frames as frames_lib

STATES = {'none': 'no filter', 'deblocking': 'deblocking alone',
          'all': "all of the codec's filters"}
# Table of the paper: against JEM 7.0 with its own filters, all intra.
_PAPER = (-3.14, -5.21, -6.28)
_NOTHING = '–'
_KMAC = 'kMAC/pixel'
# Beside Y, U and V, where a line has a value: BD-rates by others, cost, time.
_HEADS = ('Y SSIM', 'VMAF', _KMAC, 'EncT', 'DecT')


@dataclasses.dataclass(frozen=True)
class Line:
  """Cells of text; `total`: of more than one sequence."""
  cells: tuple[str, ...]
  total: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
  """A title, column heads, and as many cells in each line.

  The first `words` columns are text, the others numbers.
  """
  title: str
  header: tuple[str, ...]
  lines: tuple[Line, ...]
  words: int


def label(state: str) -> str:
  """Returns a state's name in words."""
  return STATES.get(state, state)


def summary(report: comparison.Report) -> Table:
  """Returns the averages of every codec's states against all its filters.

  A codec that cannot filter is compared with no filter.
  """
  lines = []
  for run in report.runs:
    # A codec without filters, and none given, leaves nothing to compare.
    for _, against in run.pairs()[:1]:
      lines += _averages(run, against, run.codec, report.kmac_per_pixel)
  return _table('Averages, each codec against all of its own filters',
                ('codec', 'filter'), lines)


def across(report: comparison.Report) -> Table | None:
  """Returns all codecs' averages against the first's with all its filters."""
  run = report.across
  if run is None:
    return None
  anchor = run.pairs()[0][1]
  kmac = {comparison.state_name(one.codec, name): value
          for one in report.runs
          for name, value in report.kmac_per_pixel.items()}
  return _table(f'Averages, every codec against {anchor}', ('filter',),
                _averages(run, anchor, None, kmac))


def by_class(run: comparison.Run, state: str, against: str) -> Table:
  """Returns one table in JVET's form: sequences, classes, overall."""
  chosen = run.select(state, against)
  count = len(run.results)
  several = len(chosen['psnr']) > count + 1
  lines = []
  for group in dict.fromkeys(result.group for result in run.results):
    members = [(index, result) for index, result in enumerate(run.results)
               if result.group == group]
    for index, result in members:
      lines.append(_line((group,) * several + (result.name,), chosen, index,
                         _times([result], state, against)))
    if several:
      index = next(i for i in range(count, len(chosen['psnr']) - 1)
                   if chosen['psnr'][i].name == group)
      lines.append(_line((group, 'average'), chosen, index, _times(
          [result for _, result in members], state, against), total=True))
  words = ('',) * several + (f'overall, {run.codec}',)
  lines.append(_line(words, chosen, -1, _times(run.results, state, against),
                     total=True))
  header = ('class',) * several + ('sequence',)
  if against == evaluation.ANCHOR and state not in STATES:
    lines.append(_Cells(
        ('',) * several + ('the paper, JEM 7.0, other sequences',),
        list(_PAPER), {}))
  return _table(f'{label(state)}, against {label(against)}', header, lines)


@dataclasses.dataclass(frozen=True)
class _Cells:
  """A line before it is known which columns are shown."""
  words: tuple[str, ...]
  psnr: Sequence[float | None]
  # By one of _HEADS; a column without any value is left out.
  others: Mapping[str, float | None]
  total: bool = False


def _averages(run, against, codec, kmac):
  lines = []
  for state in dict.fromkeys(state for state, other in run.pairs()
                             if other == against):
    words = (label(state),) if codec is None else (codec, label(state))
    costs = _times(run.results, state, against) | {_KMAC: kmac.get(state)}
    lines.append(_line(words, run.select(state, against), -1, costs))
  return lines


def _line(words, chosen, index, costs, *, total=False):
  rates = {head: chosen[measure][index].percent[0] for head, measure in
           (('Y SSIM', 'ssim'), ('VMAF', 'vmaf')) if measure in chosen}
  return _Cells(words, chosen['psnr'][index].percent, rates | costs, total)


def _times(results, state, against):
  return dict(zip(('EncT', 'DecT'),
                  comparison.time_ratios(results, state, against)))


def _table(title, words, lines):
  heads = [head for head in _HEADS
           if any(line.others.get(head) is not None for line in lines)]
  return Table(
      title, (*words, *frames_lib.COMPONENTS, *heads),
      tuple(Line((*line.words, *_percents(line.psnr),
                  *(_cell(head, line.others.get(head)) for head in heads)),
                 line.total) for line in lines), len(words))


def _percents(values):
  cells = [_cell('', value) for value in values]
  return cells + [_NOTHING] * (len(frames_lib.COMPONENTS) - len(cells))


def _cell(head, value):
  if value is None:
    return _NOTHING
  if head == _KMAC:
    return f'{value:.1f}'
  return f'{value:.0f} %' if head in ('EncT', 'DecT') else f'{value:+.2f}'
