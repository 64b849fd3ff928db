"""An evaluation as one HTML file: tables, and slices of three cases.

The page holds its pictures, runs no script and asks for nothing from anywhere
(its content policy says so). Every text that came from outside is escaped.
"""

import base64
from collections.abc import Sequence
import dataclasses
import html
import os

import numpy as np

from mtf_unet import atomic_file
from mtf_unet import case_scores

_STYLE = '''
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 75em;
       margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0 2em; }
th, td { padding: .25em .8em; text-align: right; border-bottom: 1px solid #ddd;
         font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #888; position: sticky; top: 0;
           background: #fff; }
tr.missed td, tr.invented td { background: #fdecea; }
figure { margin: 1em 0 2em; }
figure img { max-width: 100%; height: auto; background: #000; }
.note { color: #666; }
'''
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclasses.dataclass(frozen=True)
class Picture:
  """One case, drawn.

  Attributes:
    caption: what it shows.
    png: the picture, a PNG file.
  """
  caption: str
  png: bytes


def extreme_cases(summary: dict) -> list[tuple[str, int]]:
  """Picks the best, the median and the worst case by their mean Dice.

  Args:
    summary: of an evaluation; cases without any Dice do not count.

  Returns:
    (caption, position among the cases), without repeating a case.
  """
  means = {}
  for index, case in enumerate(summary['cases']):
    counted = [dice for dice in case['dice'] if dice is not None]
    if counted:
      means[index] = float(np.mean(counted))
  order = sorted(means, key=means.get, reverse=True)
  if not order:
    return []
  picked = {}
  for word, index in (('Best', order[0]), ('Worst', order[-1]),
                      ('Median', order[len(order) // 2])):
    picked.setdefault(index, word)
  return [(f'{picked[index]} case: {summary["cases"][index]["name"]}, mean '
           f'Dice {means[index]:.4f}', index)
          for index in sorted(picked, key=order.index)]


def write(path: str | os.PathLike, summary: dict, pictures: Sequence[Picture],
          *, title: str, details: str) -> None:
  """Writes the report, under a temporary name first.

  Args:
    path: of the HTML file.
    summary: of `evaluation.evaluate_in_detail`.
    pictures: shown in their order.
    title: of the page.
    details: a line below it: which network, which cases.
  """
  with atomic_file.replacing(path) as stream:
    stream.write(page(summary, pictures, title=title, details=details).encode(
        'utf-8'))


def page(summary: dict, pictures: Sequence[Picture], *, title: str,
         details: str) -> str:
  """Returns the report's HTML; see `write`."""
  title, details = html.escape(title), html.escape(details)
  return '\n'.join([
      '<!DOCTYPE html>', '<html lang="en">', '<head>',
      '<meta charset="utf-8">',
      f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
      '<meta name="viewport" content="width=device-width, initial-scale=1">',
      f'<title>{title}</title>', f'<style>{_STYLE}</style>', '</head>',
      '<body>', f'<h1>{title}</h1>', f'<p>{details}</p>',
      '<h2>Classes</h2>', _class_table(summary),
      *(['<h2>Slices</h2>'] if pictures else []),
      *map(_figure, pictures),
      '<h2>Cases</h2>', _case_table(summary['case_measures']),
      '<p class="note">&ndash; does not exist, where neither or only one of '
      'prediction and truth has the class, or is not measured. Coloured rows '
      'are missed or invented.</p>', '</body>', '</html>', ''])


def _class_table(summary):
  columns = ['Class', 'Mean Dice', 'Dice of all voxels', 'HD95 mm', 'ASSD mm',
             'Volume error ml', 'In both', 'Missed', 'Invented', 'Absent',
             'Lesions found', 'True lesions']
  rows = []
  for dice, entry in zip(summary['classes'], summary['measures']):
    rows.append(('', [
        str(entry['label']), _number(dice['mean'], 4),
        _number(dice['global'], 4), _number(entry['hd95_mm']),
        _number(entry['assd_mm']), _number(entry['volume_error_ml']),
        *(str(entry[found]) for found in (
            case_scores.BOTH, case_scores.MISSED, case_scores.INVENTED,
            case_scores.ABSENT)),
        _number(entry['lesions_found'], 0), _number(entry['true_lesions'], 0)
    ]))
  rows.append(('', ['all', _number(summary['mean'], 4)]
               + [''] * (len(columns) - 2)))
  return _table('classes', columns, rows)


def _case_table(measures):
  columns = ['Case', 'Class', 'Found', 'Dice', 'HD95 mm', 'ASSD mm',
             'Volume ml', 'True volume ml', 'Lesions found', 'True lesions']
  rows = [(entry['found'], [
      entry['case'], str(entry['label']), entry['found'],
      _number(entry['dice'], 4), _number(entry['hd95_mm']),
      _number(entry['assd_mm']), _number(entry['volume_ml']),
      _number(entry['true_volume_ml']), _number(entry['lesions_found'], 0),
      _number(entry['true_lesions'], 0)]) for entry in measures]
  return _table('cases', columns, rows)


def _table(name, columns, rows):
  head = ''.join(f'<th scope="col">{column}</th>' for column in columns)
  body = '\n'.join(
      f'<tr class="{kind}">' + ''.join(
          f'<td>{html.escape(cell)}</td>' for cell in cells) + '</tr>'
      for kind, cells in rows)
  return (f'<table id="{name}"><thead><tr>{head}</tr></thead>\n'
          f'<tbody>\n{body}\n</tbody></table>')


def _figure(picture):
  caption = html.escape(picture.caption)
  data = base64.b64encode(picture.png).decode('ascii')
  return (f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
          f'<figcaption>{caption}. Coloured: prediction, dashed white: truth.'
          '</figcaption></figure>')


def _number(value, digits=3):
  return '–' if value is None else f'{value:.{digits}f}'
