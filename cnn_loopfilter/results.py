"""An evaluation as tables in JVET's form, CSV and JSON."""

from collections.abc import Mapping
from collections.abc import Sequence
import csv
import dataclasses
import io
import math
import pathlib
from typing import Any

from cnn_loopfilter import atomic_file
from cnn_loopfilter import comparison
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import tables


def markdown(report: comparison.Report, *, sequences: bool = True) -> str:
  """Returns the tables as Markdown.

  Args:
    report: what was measured.
    sequences: with the tables by sequence and class, not the averages alone.
  """
  parts = [introduction(report), _table(tables.summary(report))]
  across = tables.across(report)
  if across is not None:
    parts.append(_table(across))
  if sequences:
    for run in report.runs:
      parts.append(f'## {_escaped(run.codec)}\n')
      parts += [_table(tables.by_class(run, *pair)) for pair in run.pairs()]
  return '\n'.join(parts)


def introduction(report: comparison.Report) -> str:
  """Returns sentences that tell what was measured and how to read it."""
  results = report.runs[0].results
  qps = ', '.join(map(str, next(iter(results[0].points.values()))))
  return (f'BD-rate in percent (PCHIP; below 0 saves bits), all intra, QP {qps}'
          f', {len(results)} sequences, '
          f'{sum(result.frames for result in results)} frames. Codecs: '
          f'{", ".join(run.codec for run in report.runs)}. Y, U, V: at equal '
          'PSNR; Y SSIM: at equal SSIM of luma. EncT, DecT: the codec\'s time '
          'and the filter\'s, in percent of the anchor\'s.\n')


def _table(table):
  lines = [f'### {_escaped(table.title)}', '', _row(table.header),
           '|' + '|'.join('---' if column < table.words else '---:'
                          for column in range(len(table.header))) + '|']
  for line in table.lines:
    lines.append(_row([f'**{cell}**' if line.total and cell else cell
                       for cell in line.cells]))
  return '\n'.join([*lines, ''])


def _row(cells):
  return '| ' + ' | '.join(map(_escaped, cells)) + ' |'


def _escaped(text):
  """Keeps a name from ending its cell or its line, or becoming HTML."""
  return ' '.join(text.split()).replace('|', '\\|').replace('<', '&lt;')


def to_json(report: comparison.Report) -> dict:
  """Returns everything measured; an infinite or missing value becomes None.

  The main codec's keys are at the top; other codecs' under 'anchors', with
  BD-rates by PSNR in 'bd_rates', by others in 'bd_rates_ssim', ...
  """
  main, *others = [_run_to_json(run) for run in report.runs]
  across = report.across
  return main | {
      'kmac_per_pixel': dict(report.kmac_per_pixel), 'anchors': others,
      'across': {} if across is None else _rates_to_json(across)}


def _run_to_json(run):
  return {
      'codec': run.codec,
      'sequences': [
          {'name': result.name, 'group': result.group,
           'frames': result.frames,
           'points': {state: {str(qp): _point_to_json(point)
                              for qp, point in points.items()}
                      for state, points in result.points.items()}}
          for result in run.results]} | _rates_to_json(run)


def _rates_to_json(run):
  rates = {}
  for row in run.rows:
    key = 'bd_rates' + ('' if row.measure == 'psnr' else f'_{row.measure}')
    rates.setdefault(key, []).append(dataclasses.asdict(row))
  return {'bd_rates': []} | rates


def _point_to_json(point):
  def finite(value):
    return None if value is None or not math.isfinite(value) else value

  return {key: [finite(one) for one in value] if isinstance(value, tuple)
               else finite(value)
          for key, value in dataclasses.asdict(point).items()}


def points_csv(runs: Sequence[comparison.Run]) -> str:
  """Returns a line for each codec, sequence, state and QP."""
  names = [name.lower() for name in frames_lib.COMPONENTS]
  table = [['codec', 'sequence', 'group', 'frames', 'state', 'qp', 'bits',
            *(f'psnr_{name}_db' for name in names),
            *(f'ssim_{name}' for name in names), 'vmaf', 'encode_s',
            'decode_s']]
  table += [[run.codec, result.name, result.group, result.frames, state, qp,
             point.bits, *_padded(point.psnr), *_padded(point.ssim),
             *_padded((point.vmaf, point.encode_s, point.decode_s))]
            for run in runs for result in run.results
            for state, points in result.points.items()
            for qp, point in points.items()]
  return _csv(table)


def bd_rates_csv(runs: Sequence[comparison.Run]) -> str:
  """Returns a line for each BD-rate row; empty where there is none."""
  table = [['codec', 'sequence', 'group', 'state', 'against', 'measure',
            *(f'bd_rate_{name.lower()}_percent'
              for name in frames_lib.COMPONENTS)]]
  table += [[run.codec, row.name, row.group, row.state, row.against,
             row.measure, *_padded(row.percent)]
            for run in runs for row in run.rows]
  return _csv(table)


def _padded(values):
  """Three cells of numbers, empty where there are fewer or none."""
  cells = ['' if value is None else f'{value:.5f}' for value in values]
  return cells + [''] * (3 - len(cells))


def _csv(table):
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows(table)
  return text.getvalue()


def write(folder: pathlib.Path, report: comparison.Report,
          run: Mapping[str, Any] | None = None) -> None:
  """Writes results.md, results.json, points.csv and bd_rates.csv.

  Args:
    folder: where to.
    report: what was measured.
    run: facts about the run that measured it, for results.json.
  """
  across = report.across
  runs = [*report.runs, *([] if across is None else [across])]
  for name, text in (('results.md', markdown(report)),
                     ('points.csv', points_csv(report.runs)),
                     ('bd_rates.csv', bd_rates_csv(runs))):
    with atomic_file.replacing(folder / name) as stream:
      stream.write(text.encode('utf-8'))
  atomic_file.write_json(folder / 'results.json',
                         to_json(report) | {'run': dict(run or {})})
