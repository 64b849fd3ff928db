import io
import re

import numpy as np
import PIL.Image
import pytest

from cnn_loopfilter import comparison
from cnn_loopfilter import evaluation
from cnn_loopfilter import html_report
from tests import headless_browser

_NAME = '<script>alert("name")</script> & "quoted"'
_COLOURS = {'original': (0, 160, 0), 'no filter': (200, 0, 0),
            _NAME: (0, 0, 200)}


def _points(shift):
  return {qp: evaluation.Point(round(1e6 / qp), (50 - qp / 2 + shift,) * 3,
                               (1 - qp / 1000 + shift / 1000,) * 3)
          for qp in (22, 27, 32, 37)}


def _report():
  states = {'none': _points(0), 'all': _points(0.2), 'CNN': _points(0.5)}
  results = [evaluation.SequenceResult(name, group, 1, states)
             for name, group in ((_NAME, 'A'), ('two', 'B'))]
  return comparison.Report(
      [comparison.run('x265 medium', results),
       comparison.run(_NAME, results)], {'CNN': 334.4})


def _crop(title=_NAME):
  pictures = {name: np.full((40, 60, 3), colour, np.uint8)
              for name, colour in _COLOURS.items()}
  return html_report.Crop(title, pictures, 'no filter', _NAME)


@pytest.fixture(name='path')
def _path(tmp_path):
  png = io.BytesIO()
  PIL.Image.new('RGB', (60, 40), (90, 90, 90)).save(png, 'PNG')
  html_report.write(
      tmp_path / 'report.html', _report(), crops=[_crop(), _crop('second')],
      curves=[html_report.Curves('average', png.getvalue()),
              html_report.Curves(_NAME, png.getvalue(), folded=True)])
  return tmp_path / 'report.html'


def test_names_cannot_become_markup(path):
  text = path.read_text('utf-8')
  assert '<script>alert' not in text and 'name")' not in text
  assert text.count('<script>') == 1
  assert '&lt;script&gt;alert(&quot;name&quot;)' in text
  # Nothing is fetched from elsewhere.
  assert not re.search(r'(src|href)="(?!data:image/png;base64,)', text)
  assert "default-src 'none'" in text


def _seen(page, folder):
  """Colours at a quarter, a half and three quarters of the first pictures."""
  box = page.run(
      '(e => { e.scrollIntoView({block: "center"}); const b = '
      'e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height] })'
      '(document.querySelector(".stage"))')
  page.screenshot(folder / 'seen.png')
  with PIL.Image.open(folder / 'seen.png') as picture:
    rgb = picture.convert('RGB')
    return [rgb.getpixel((int(box[0] + part * box[2]),
                          int(box[1] + box[3] / 4)))
            for part in (0.05, 0.3, 0.7)]


@headless_browser.needs_chromium
def test_the_slider_moves_by_keys_and_by_mouse(path, tmp_path):
  red, blue = _COLOURS['no filter'], _COLOURS[_NAME]
  with headless_browser.open_page(path) as page:
    assert _seen(page, tmp_path) == [red, red, blue]
    page.focus('.compare input')
    page.press('ArrowLeft', times=30)
    assert page.run('document.querySelector(".compare input").value') == '20'
    assert _seen(page, tmp_path) == [red, blue, blue]
    page.press('End')
    assert _seen(page, tmp_path) == [red, red, red]
    page.press('Home')
    assert _seen(page, tmp_path) == [blue, blue, blue]
    page.drag('.stage', (0.1, 0.5), (0.5, 0.5))
    assert _seen(page, tmp_path) == [red, red, blue]
    # The second figure did not follow.
    assert page.run('[...document.querySelectorAll(".compare input")].map('
                    'e => e.value)') == ['50', '50']
    assert page.errors == [] and page.requests == []


@headless_browser.needs_chromium
def test_pictures_and_their_size_can_be_chosen(path, tmp_path):
  with headless_browser.open_page(path) as page:
    for selector, value in (('left-0', 'original'), ('zoom-0', '4')):
      page.run(f'(e => {{ e.value = "{value}"; '
               'e.dispatchEvent(new Event("input")) })'
               f'(document.querySelector("#{selector}"))')
    assert _seen(page, tmp_path)[0] == _COLOURS['original']
    assert page.run('document.querySelector(".stage").offsetWidth') == 240
    assert page.text('.side') == 'original'
    told = page.run('document.querySelector(".compare input").ariaValueText')
    assert told.startswith('original up to 50 percent, then <script>')
    assert page.errors == [] and page.requests == []


@headless_browser.needs_chromium
def test_tables_are_there_and_names_are_text(path):
  with headless_browser.open_page(path) as page:
    text = page.text()
    assert f'{_NAME}, CNN' in text and '334.4' in text
    # 2 summaries; for each codec 2 states against all and 2 against none.
    assert page.run('document.querySelectorAll("table").length') == 2 + 2 * 4
    assert page.run('document.querySelectorAll("th[scope=col]").length') > 20
    page.click('details summary')
    assert page.run('document.querySelector("details").open')
    assert page.run('document.scripts.length') == 1
    assert page.errors == [] and page.requests == []
