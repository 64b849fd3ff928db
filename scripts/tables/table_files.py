"""Writes a table as Markdown, CSV and a picture, ours beside the paper's."""

from collections.abc import Iterable
import csv
import io
import math
import pathlib

import line_plot
import loss_curves
import metrics_files
import pictures
import table_types

from mtf_unet import atomic_file

_NOT_AVAILABLE = 'not available'
_UNVERIFIED = '(unverified)'
_HEADER = ('', 'paper', 'ours, small scale', 'setting of ours')
_INCHES_A_ROW = 0.35
# Of bars on a linear axis.
_LARGEST_RATIO = 100
_PAGE_HEAD = """# Results beside the papers'

Written by `python scripts/reproduce_tables.py --page=docs/results.md` out of
the metrics files of runs; nothing here was typed in. A number that was not
measured is an empty cell; of the paper's figures those that could not be looked
up say so. Each table names the command that fills it, and of each run the date,
the machine, the hash of its configuration, the seed and the commit.
"""


def measure(table: table_types.Table, runs: pathlib.Path
            ) -> list[metrics_files.Measured | None]:
  """Reads the number of ours of each row, None where there is none."""
  return [metrics_files.read(runs, row.ours) for row in table.rows]


def paper_cell(paper: table_types.Published) -> str:
  """Returns a figure of the paper with its source, or "not available"."""
  if not paper.text:
    return _NOT_AVAILABLE
  label = f' {_UNVERIFIED}' if paper.unverified else ''
  return f'{paper.text}{label} [{paper.source}]'


def markdown(table: table_types.Table,
             measured: list[metrics_files.Measured | None]) -> str:
  """Returns the table, its notes, and the runs that ours is from."""
  lines = [f'## {table.title}', '', f'{table.quantity}.', '',
           _line(_HEADER), _line(['---'] * len(_HEADER))]
  lines += [_line([row.name, paper_cell(row.paper), own.text if own else '',
                   row.setting])
            for row, own in zip(table.rows, measured)]
  for note in table.notes:
    lines += ['', note]
  runs = {own.file: own.run for own in measured if own}
  if runs:
    lines += ['', f'`{_command(table)}`', '']
  lines += dict.fromkeys(
      f'* {run.get("date", "no date")}, {run.get("machine", "")}, config '
      f'{run["config_hash"]}, seed {run["seed"]}, commit {run["commit"]}'
      for run in runs.values())
  return '\n'.join(lines) + '\n'


def _command(table):
  """Returns what fills the table; the run's own command names its paths."""
  return ' '.join([
      'python scripts/reproduce_tables.py', f'--table={table.name}',
      *(f'--{name}={name.upper()}' for name in table.inputs)])


def page(tables: Iterable[table_types.Table], runs: pathlib.Path
         ) -> tuple[str, dict[str, bytes]]:
  """Returns one page of the tables in which something was measured.

  Returns:
    The Markdown, and the PNG files that it shows, by the names that they need
    in its folder: losses and plots, but not the bars, which say no more than
    the table.
  """
  parts, shown = [_PAGE_HEAD], {}
  for table in tables:
    measured = measure(table, runs)
    if not any(measured):
      continue
    parts.append(markdown(table, measured))
    for suffix, content in _curves_and_plot(table, runs).items():
      name = f'results-{table.name}{suffix}'
      shown[name] = content
      parts.append(f'![{table.title}]({name})\n')
  return '\n'.join(parts), shown


def _curves_and_plot(table, runs):
  """Returns PNG files by what their names end in; those with numbers only."""
  curves = loss_curves.read(table, runs)
  drawn = {'_loss.png': loss_curves.draw(curves) if curves else None,
           '_plot.png': line_plot.draw(table, runs)}
  return {suffix: content for suffix, content in drawn.items() if content}


def _line(cells):
  return '| ' + ' | '.join(cells) + ' |'


def to_csv(table: table_types.Table,
           measured: list[metrics_files.Measured | None]) -> str:
  """Returns a line for each row; empty cells where nothing was measured."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(['row', 'paper', 'paper_source', 'paper_unverified', 'ours',
                   'setting', 'config_hash', 'seed', 'commit', 'date'])
  for row, own in zip(table.rows, measured):
    run = own.run if own else {}
    writer.writerow([
        row.name, row.paper.text or _NOT_AVAILABLE, row.paper.source,
        row.paper.unverified, own.text if own else '', row.setting,
        *(run.get(key, '') for key in ('config_hash', 'seed', 'commit',
                                       'date'))])
  return text.getvalue()


def draw(table: table_types.Table,
         measured: list[metrics_files.Measured | None]) -> bytes:
  """Draws two bars a row, the paper's and ours, where there is a number.

  Returns:
    A PNG file.
  """
  names, published, ours = [], [], []
  for row, own in zip(table.rows, measured):
    pair = (math.nan if row.paper.number is None else row.paper.number,
            own.value if own else math.nan)
    if not all(map(math.isnan, pair)):
      names.append(row.name)
      published.append(pair[0])
      ours.append(pair[1])
  figure, axes = pictures.figure(8, 1.6 + _INCHES_A_ROW * max(1, len(names)))
  places = range(len(names))
  axes.barh([place - 0.2 for place in places], published, 0.4, label='paper')
  axes.barh([place + 0.2 for place in places], ours, 0.4,
            label='ours, small scale')
  if _spread(published + ours):
    axes.set_xscale('log')
  axes.set_yticks(places, names)
  axes.invert_yaxis()
  axes.set_xlabel(table.quantity)
  axes.set_title(table.title, fontsize='medium')
  axes.legend()
  return pictures.png(figure)


def _spread(values):
  """Tells whether the small values could not be seen beside the large."""
  finite = [value for value in values if not math.isnan(value)]
  return bool(finite) and min(finite) > 0 and (
      max(finite) > _LARGEST_RATIO * min(finite))


def write(table: table_types.Table, runs: pathlib.Path,
          results: pathlib.Path) -> pathlib.Path:
  """Writes results/NAME.md, .csv and .png, NAME_loss.png and NAME_plot.png.

  Args:
    table: what to write.
    runs: folder of runs, whose metrics files fill it.
    results: folder to write to.

  Returns:
    The Markdown file.
  """
  measured = measure(table, runs)
  files = {'.csv': to_csv(table, measured).encode('utf-8'),
           '.png': draw(table, measured),
           '.md': markdown(table, measured).encode('utf-8'),
           **_curves_and_plot(table, runs)}
  for suffix, content in files.items():
    with atomic_file.replacing(results / (table.name + suffix)) as stream:
      stream.write(content)
  return results / f'{table.name}.md'
