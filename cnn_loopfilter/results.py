"""An evaluation as tables in the paper's form, CSV and JSON."""

from collections.abc import Mapping
from collections.abc import Sequence
import csv
import dataclasses
import io
import math
import pathlib
from typing import Any

from cnn_loopfilter import atomic_file
from cnn_loopfilter import evaluation
from cnn_loopfilter import frames as frames_lib

# Table of the paper: against JEM 7.0 with its own filters, all intra.
_PAPER = (-3.14, -5.21, -6.28)
_STATES = {'none': 'no filter', 'deblocking': 'deblocking alone',
           'all': "all of the codec's filters"}


def markdown(results: Sequence[evaluation.SequenceResult],
             rows: Sequence[evaluation.Row], codec: str) -> str:
  """Returns one table for each pair of states that `rows` compares.

  Args:
    results: of `evaluation.evaluate`; tells the QPs and frames.
    rows: of `evaluation.bd_rates`, any number of calls joined.
    codec: its label.
  """
  qps = ', '.join(map(str, next(iter(results[0].points.values()))))
  lines = [f'BD-rate in percent (PCHIP; below 0 saves bits), {codec}, all '
           f'intra, QP {qps}, {len(results)} sequences, '
           f'{sum(result.frames for result in results)} frames.', '']
  for state, against in dict.fromkeys((r.state, r.against) for r in rows):
    lines += [f'### {_STATES.get(state, state)}, against '
              f'{_STATES[against]}', '',
              '| sequence | Y | U | V |', '|---|---:|---:|---:|']
    chosen = [r for r in rows if (r.state, r.against) == (state, against)]
    lines += [_line(row.name, row.percent) for row in chosen[:-1]]
    lines.append(_line(f'**{chosen[-1].name}, {codec}**', chosen[-1].percent))
    if against == evaluation.ANCHOR and state not in _STATES:
      lines.append(_line('the paper, JEM 7.0, other sequences', _PAPER))
    lines.append('')
  return '\n'.join(lines)


def _line(name, percent):
  cells = ['–' if value is None else f'{value:+.2f}' for value in percent]
  return f'| {name} | ' + ' | '.join([*cells, *['–'] * (3 - len(cells))]) + ' |'


def to_json(results: Sequence[evaluation.SequenceResult],
            rows: Sequence[evaluation.Row], codec: str) -> dict:
  """Returns everything measured; an infinite PSNR becomes None."""
  def finite(psnr):
    return [None if math.isinf(value) else value for value in psnr]

  return {
      'codec': codec,
      'sequences': [
          {'name': result.name, 'group': result.group,
           'frames': result.frames,
           'points': {state: {str(qp): {'bits': point.bits,
                                        'psnr': finite(point.psnr)}
                              for qp, point in points.items()}
                      for state, points in result.points.items()}}
          for result in results],
      'bd_rates': [dataclasses.asdict(row) for row in rows]}


def points_csv(results: Sequence[evaluation.SequenceResult]) -> str:
  """Returns a line for each sequence, state and QP."""
  table = [['sequence', 'group', 'frames', 'state', 'qp', 'bits',
            *(f'psnr_{name.lower()}_db' for name in frames_lib.COMPONENTS)]]
  table += [[result.name, result.group, result.frames, state, qp, point.bits,
             *(f'{value:.5f}' for value in point.psnr)]
            for result in results for state, points in result.points.items()
            for qp, point in points.items()]
  return _csv(table)


def bd_rates_csv(rows: Sequence[evaluation.Row]) -> str:
  """Returns a line for each BD-rate row; empty where there is none."""
  table = [['sequence', 'group', 'state', 'against',
            *(f'bd_rate_{name.lower()}_percent'
              for name in frames_lib.COMPONENTS)]]
  table += [[row.name, row.group, row.state, row.against,
             *('' if value is None else f'{value:.5f}'
               for value in row.percent)] for row in rows]
  return _csv(table)


def _csv(table):
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows(table)
  return text.getvalue()


def write(folder: pathlib.Path, results: Sequence[evaluation.SequenceResult],
          rows: Sequence[evaluation.Row], codec: str,
          run: Mapping[str, Any] | None = None) -> None:
  """Writes results.md, results.json, points.csv and bd_rates.csv.

  Args:
    folder: where to.
    results: of `evaluation.evaluate`.
    rows: of `evaluation.bd_rates`.
    codec: its label.
    run: facts about the run that measured them, for results.json.
  """
  for name, text in (('results.md', markdown(results, rows, codec)),
                     ('points.csv', points_csv(results)),
                     ('bd_rates.csv', bd_rates_csv(rows))):
    with atomic_file.replacing(folder / name) as stream:
      stream.write(text.encode('utf-8'))
  atomic_file.write_json(folder / 'results.json',
                         to_json(results, rows, codec)
                         | {'run': dict(run or {})})
