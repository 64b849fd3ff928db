"""An evaluation as one page: tables, curves, and pictures to compare.

The file holds all it needs and asks for nothing else: its own policy (a
Content-Security-Policy) forbids any request, and any script but the one whose
hash it names, should a name that came from a file ever slip through.
"""

import base64
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import hashlib
import html
import importlib.resources
import io
import pathlib
import re

import numpy as np
import PIL.Image

from cnn_loopfilter import atomic_file
from cnn_loopfilter import comparison
from cnn_loopfilter import results as results_lib
from cnn_loopfilter import tables


@dataclasses.dataclass(frozen=True)
class Curves:
  """Rate-distortion curves as a PNG; those `folded` are opened by a click."""
  title: str
  png: bytes
  folded: bool = False


@dataclasses.dataclass(frozen=True)
class Crop:
  """The same crop of several pictures to compare.

  `pictures` are uint8 [height, width, 3] of one size by name, two or more; the
  page begins with `left` and `right`.
  """
  title: str
  pictures: Mapping[str, np.ndarray]
  left: str
  right: str


def write(path: pathlib.Path, report: comparison.Report, *,
          curves: Sequence[Curves] = (), crops: Sequence[Crop] = ()) -> None:
  """Writes the page."""
  with atomic_file.replacing(path) as stream:
    stream.write(page(report, curves=curves, crops=crops).encode('utf-8'))


def page(report: comparison.Report, *, curves: Sequence[Curves] = (),
         crops: Sequence[Crop] = ()) -> str:
  """Returns the page as HTML; see `write`."""
  script, style = _asset('report.js'), _asset('report.css')
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  policy = ("default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'")
  across = tables.across(report)
  return '\n'.join([
      '<!doctype html>', '<html lang="en">', '<head>', '<meta charset="utf-8">',
      f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
      '<meta name="viewport" content="width=device-width, initial-scale=1">',
      '<title>Loop filters compared</title>', f'<style>{style}</style>',
      '</head>', '<body>', '<main>', '<h1>Loop filters compared</h1>',
      f'<p>{html.escape(results_lib.introduction(report))}</p>',
      _table(tables.summary(report)),
      '' if across is None else _table(across),
      *_section('Before and after', map(_crop, range(len(crops)), crops)),
      *_section('Rate-distortion curves', map(_curves, curves)),
      *_section('By sequence', map(_folded_table, [
          (run, *pair) for run in report.runs for pair in run.pairs()])),
      '</main>', f'<script>{script}</script>', '</body>', '</html>', ''])


def slug(text: str) -> str:
  """Returns a name for a file: letters, digits and hyphens."""
  return re.sub('[^a-z0-9]+', '-', text.lower()).strip('-')


def _asset(name):
  return importlib.resources.files('cnn_loopfilter').joinpath(
      'report_page', name).read_text('utf-8')


def _section(title, parts):
  parts = list(parts)
  return ['<section>', f'<h2>{title}</h2>', *parts, '</section>'] if (
      parts) else []


def _table(table, *, captioned=True):
  lines = ['<div class="wide"><table>']
  if captioned:
    lines.append(f'<caption>{html.escape(table.title)}</caption>')
  lines.append('<thead><tr>' + ''.join(
      f'<th scope="col"{" class=words" if column < table.words else ""}>'
      f'{html.escape(head)}</th>' for column, head in enumerate(table.header))
      + '</tr></thead><tbody>')
  for line in table.lines:
    cells = [f'<th scope="row">{html.escape(cell)}</th>' if (
        column < table.words) else f'<td>{html.escape(cell)}</td>'
             for column, cell in enumerate(line.cells)]
    lines.append('<tr class="total">' if line.total else '<tr>')
    lines.append(''.join(cells) + '</tr>')
  return '\n'.join([*lines, '</tbody></table></div>'])


def _folded_table(chosen):
  run, state, against = chosen
  table = tables.by_class(run, state, against)
  title = f'{run.codec}: {table.title}'
  return _folded(title, _table(table, captioned=False))


def _folded(title, content):
  return (f'<details><summary>{html.escape(title)}</summary>\n{content}\n'
          '</details>')


def _curves(one):
  title = html.escape(one.title, quote=True)
  image = (f'<img class="curves" alt="Rate-distortion curves: {title}" '
           f'src="{_data_url(one.png)}">')
  if one.folded:
    return _folded(one.title, image)
  return f'<h3>{html.escape(one.title)}</h3>\n<div class="wide">{image}</div>'


def _crop(number, crop):
  names = list(crop.pictures)
  height, width = crop.pictures[names[0]].shape[:2]
  images = '\n'.join(
      f'<img alt="" data-state="{html.escape(name, quote=True)}" '
      f'width="{width}" height="{height}" src="{_data_url(_png(picture))}">'
      for name, picture in crop.pictures.items())
  return f'''<figure class="compare" data-width="{width}"
 data-height="{height}">
<figcaption>{html.escape(crop.title)}</figcaption>
<p class="choices">
{_select(f'left-{number}', 'Left', names, crop.left)}
{_select(f'right-{number}', 'Right', names, crop.right)}
{_select(f'zoom-{number}', 'Size', ['1', '2', '3', '4'], '2', ' to 1')}
</p>
<div class="wide"><div class="stage">
{images}
<div class="line"></div>
<span class="side"></span><span class="side right"></span>
<input type="range" min="0" max="100" step="1" value="50"
 aria-label="Where the left picture ends, in percent">
</div></div>
</figure>'''


def _select(name, label, values, chosen, after=''):
  options = ''.join(
      f'<option value="{html.escape(value, quote=True)}"'
      f'{" selected" if value == chosen else ""}>{html.escape(value + after)}'
      '</option>' for value in values)
  return (f'<label for="{name}">{label}</label> '
          f'<select id="{name}">{options}</select>')


def _png(picture):
  stream = io.BytesIO()
  PIL.Image.fromarray(picture).save(stream, 'PNG')
  return stream.getvalue()


def _data_url(png):
  return 'data:image/png;base64,' + base64.b64encode(png).decode()
