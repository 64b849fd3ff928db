import PIL.Image
import pytest

from tests import headless_browser

_PAGE = '''<!doctype html><title>Page</title>
<button>Press</button><p id=count>0</p>
<input type=range min=0 max=10 value=5>
<div id=bar style="width:200px;height:20px;background:#f00"></div>
<script>
const count = document.querySelector('#count');
document.querySelector('button').onclick = () => count.textContent++;
document.querySelector('#bar').onmouseup =
    event => { event.target.title = event.offsetX };
</script>'''

pytestmark = headless_browser.needs_chromium


@pytest.fixture(name='page')
def _page(tmp_path):
  (tmp_path / 'page.html').write_text(_PAGE)
  with headless_browser.open_page(tmp_path / 'page.html', width=400,
                                  height=300) as page:
    yield page


def test_clicks_keys_and_drags_reach_the_page(page, tmp_path):
  page.click('button')
  page.click('button')
  assert page.text('#count') == '2'
  page.focus('input')
  page.press('ArrowRight', times=3)
  assert page.run('document.querySelector("input").value') == '8'
  page.drag('#bar', (0.1, 0.5), (0.75, 0.5))
  assert page.run('document.querySelector("#bar").title') == '150'
  page.screenshot(tmp_path / 'seen.png')
  with PIL.Image.open(tmp_path / 'seen.png') as picture:
    assert picture.size == (400, 300)
    assert (255, 0, 0) in picture.convert('RGB').get_flattened_data()
  assert page.errors == [] and page.requests == []
  assert '<title>Page</title>' in page.dom()


def test_errors_and_requests_are_listed(page):
  with pytest.raises(RuntimeError, match='nothing is not defined'):
    page.run('nothing.at.all')
  page.run('console.error("seen", 3)')
  page.run('setTimeout(() => { throw new Error("thrown later") })')
  page.run('fetch("http://example.com/").catch(() => 0)')
  page.run('new Promise(done => setTimeout(done, 50))')
  told = '\n'.join(page.errors)
  assert 'seen 3' in told and 'thrown later' in told
  assert page.requests == ['http://example.com/']


def test_a_page_that_takes_too_long_is_given_up(tmp_path):
  (tmp_path / 'page.html').write_text('<script>for (;;);</script>')
  with pytest.raises(TimeoutError), headless_browser.open_page(
      tmp_path / 'page.html', timeout_s=3):
    pass
