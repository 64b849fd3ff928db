import io

import numpy as np
from PIL import Image
import pytest

from mtf_unet import case_pictures
from mtf_unet import case_scores
from mtf_unet import case_source
from mtf_unet import config as config_lib
from mtf_unet import evaluation
from mtf_unet import html_report
from mtf_unet import preprocess
from tests import headless_browser

_CONFIG = config_lib.Config(
    data=config_lib.DataConfig(size=(8, 8, 8)),
    evaluation=config_lib.EvaluationConfig(lesion_classes=(2,)))
# What must not act, wherever a name comes from.
_NASTY = '<script>document.title="run"</script>&"\'<img src=x onerror=alert(1)>'


class _Oracle:
  """Answers with what the first channel says."""

  def probabilities(self, image):
    return np.eye(3, dtype=np.float32)[np.rint(image[..., 0]).astype(int)]


def _case(name, shift):
  label = np.zeros((8, 8, 8), np.uint8)
  label[1:4, 2:5, 2:5] = 1
  seen = np.roll(label, shift, axis=0)
  if shift == 1:
    seen[6, 6, 6] = 2
  geometry = preprocess.Geometry((8, 8, 8), (1.0, 2.0, 3.0), (0, 1, 2),
                                 (1, 1, 1), (8, 8, 8), (8, 8, 8))
  return case_source.Case(
      name, seen[..., None].astype(np.float32), label, label, (1.0, 2.0, 3.0),
      geometry)


_CASES = [_case('fine', 0), _case('far', 3), _case(_NASTY, 1)]


@pytest.fixture(scope='module', name='summary')
def _summary():
  return evaluation.evaluate_in_detail(_Oracle(), _CASES, _CONFIG)[0]


def test_best_median_and_worst_case_are_picked_once(summary):
  picked = html_report.extreme_cases(summary)
  assert [index for _, index in picked] == [0, 2, 1]
  assert picked[0][0] == 'Best case: fine, mean Dice 1.0000'
  assert picked[1][0].startswith('Median case: <script>')
  assert picked[2][0] == 'Worst case: far, mean Dice 0.0000'


@pytest.mark.parametrize('dice, words', [
    ([[0.5], [0.7]], ['Best', 'Worst']), ([[0.5]], ['Best']), ([[None]], []),
    ([[None], [0.1]], ['Best'])], ids=['two', 'one', 'none', 'without Dice'])
def test_few_cases_are_not_repeated(dice, words):
  picked = html_report.extreme_cases({'cases': [
      {'name': 'a', 'dice': row} for row in dice]})
  assert [caption.split()[0] for caption, _ in picked] == words


def test_names_are_escaped_and_nothing_is_fetched(summary):
  page = html_report.page(summary, [], title=_NASTY, details=_NASTY)
  assert '<script' not in page
  assert '<img' not in page
  assert '&lt;script&gt;' in page


def test_what_does_not_exist_is_a_dash(summary):
  rows = html_report.page(summary, [], title='a', details='b').split('<tr')
  absent = next(row for row in rows if '<td>absent</td>' in row)
  assert absent.count('<td>–</td>') == 3
  assert 'nan' not in absent


def test_pictures_show_the_grid_in_mm_without_padding():
  geometry = preprocess.Geometry((4, 8, 6), (1.0, 1.0, 1.0), (1, 0, 2),
                                 (1, 1, 1), (8, 4, 3), (8, 8, 8))
  case = _case('a', 0)
  case = case_source.Case(case.name, case.image, case.label, case.label,
                          (1.0, 1.0, 1.0), geometry)
  png = case_pictures.draw(_Oracle(), case, _CONFIG)
  picture = Image.open(io.BytesIO(png))
  picture.load()
  assert picture.format == 'PNG'


@headless_browser.needs_chromium
def test_a_browser_shows_tables_and_slices(tmp_path, summary):
  pictures = case_pictures.extremes(_Oracle(), _CASES, _CONFIG, summary)
  path = tmp_path / 'report.html'
  html_report.write(path, summary, pictures, title='Trial <1>',
                    details='three cases')
  with headless_browser.open_page(path) as page:
    assert not page.errors and not page.requests
    assert page.run('document.title') == 'Trial <1>'
    assert page.text('h1') == 'Trial <1>'
    cells = page.run(
        'Array.from(document.querySelectorAll("#cases tbody tr")).map('
        'row => Array.from(row.cells).map(cell => cell.innerText))')
    drawn = page.run(
        'Array.from(document.images).map(i => i.complete && i.naturalWidth)')
    captions = page.run('Array.from(document.querySelectorAll('
                        '"figcaption")).map(c => c.innerText)')
    errors = list(page.errors)
  assert not errors
  assert len(cells) == 6
  assert {row[0] for row in cells} == {'fine', 'far', _NASTY}
  first = next(row for row in cells if row[:2] == ['far', '1'])
  score = next(s for s in summary['case_measures']
               if (s['case'], s['label']) == ('far', 1))
  assert first[2:5] == ['both', '0.0000', f'{score["hd95_mm"]:.3f}']
  invented = next(row for row in cells if row[0] == _NASTY and row[1] == '2')
  assert invented[2] == case_scores.INVENTED
  assert invented[4:6] == ['–', '–']
  assert len(drawn) == 3 and all(width > 1000 for width in drawn)
  assert captions[0].startswith('Best case: fine, mean Dice 1.0000.')
