"""Opens a local page in a real browser without a screen: Debian's chromium.

The browser is driven by its DevTools protocol over a pipe, so it listens on no
port, and keys and clicks are real input events. It reaches no network: every
name resolves to nothing, and what a page asks for is listed. Where there is no
chromium, tests with `needs_chromium` are skipped, saying so.

    @headless_browser.needs_chromium
    def test_a_click_counts(tmp_path):
      with headless_browser.open_page(tmp_path / 'page.html') as page:
        page.click('button')
        assert page.text('#count') == '1'
        assert not page.errors and not page.requests
"""

import base64
from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time
import typing

import pytest

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason='no chromium on this machine (apt-get install '
    'chromium)')

# The pipe's ends have to be the files 3 and 4.
_ON_PIPE = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'
_FLAGS = ('--headless=new', '--no-sandbox', '--remote-debugging-pipe',
          '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
          '--disable-extensions', '--disable-background-networking',
          '--host-resolver-rules=MAP * ~NOTFOUND')
# Keys that are no letters, with their Windows codes, which widgets go by.
_KEYS = {'Tab': 9, 'Enter': 13, 'Escape': 27, ' ': 32, 'PageUp': 33,
         'PageDown': 34, 'End': 35, 'Home': 36, 'ArrowLeft': 37,
         'ArrowUp': 38, 'ArrowRight': 39, 'ArrowDown': 40}


class Page:
  """One open page; made by `open_page`.

  Attributes:
    errors: texts of exceptions, console errors and failed loads so far.
    requests: addresses asked for that are neither in the page nor in a file.
  """

  def __init__(self, process: subprocess.Popen, deadline: float):
    self._process, self._deadline = process, deadline
    self._session, self._last_id, self._unread = None, 0, b''
    self._loaded = False
    self.errors: list[str] = []
    self.requests: list[str] = []

  def open(self, address: str, width: int, height: int) -> None:
    target = self._call('Target.createTarget', url='about:blank')['targetId']
    self._session = self._call('Target.attachToTarget', targetId=target,
                               flatten=True)['sessionId']
    for domain in ('Page', 'Runtime', 'Log', 'Network'):
      self._call(f'{domain}.enable')
    self._call('Emulation.setDeviceMetricsOverride', width=width,
               height=height, deviceScaleFactor=1, mobile=False)
    self._loaded = False
    self._call('Page.navigate', url=address)
    while not self._loaded:
      self._take(self._receive())

  def run(self, script: str) -> typing.Any:
    """Evaluates an expression of JavaScript, waiting for a promise.

    Raises:
      RuntimeError: with the page's message, if it throws.
    """
    result = self._call('Runtime.evaluate', expression=script,
                        returnByValue=True, awaitPromise=True)
    if 'exceptionDetails' in result:
      raise RuntimeError(_exception(result['exceptionDetails']))
    return result['result'].get('value')

  def text(self, selector: str = 'body') -> str:
    """Returns the text that is seen of the first element that matches."""
    return self.run(f'{_found(selector)}.innerText')

  def dom(self) -> str:
    """Returns the page's HTML as it is now."""
    return self.run('document.documentElement.outerHTML')

  def focus(self, selector: str) -> None:
    self.run(f'{_found(selector)}.focus()')

  def press(self, key: str, times: int = 1) -> None:
    """Presses a key (a letter, or a name such as 'ArrowLeft', 'Tab')."""
    named = {'key': key, 'code': f'Key{key.upper()}' if key.isalpha() and (
                 len(key) == 1) else key,
             'windowsVirtualKeyCode': _KEYS.get(key) or ord(key.upper())}
    if len(key) == 1:
      named['text'] = key
    for _ in range(times):
      for kind in ('keyDown', 'keyUp'):
        self._call('Input.dispatchKeyEvent', type=kind, **named)

  def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
    """Clicks an element at a fraction of its width and height."""
    self.drag(selector, (x, y), (x, y))

  def drag(self, selector: str, start: tuple[float, float],
           end: tuple[float, float]) -> None:
    """Presses the mouse at one fraction of an element, lets go at another."""
    left, top, width, height = self.run(
        f'(e => {{ e.scrollIntoView({{block: "center"}}); const box = '
        'e.getBoundingClientRect(); return [box.x, box.y, box.width, '
        f'box.height] }})({_found(selector)})')
    for kind, (x, y), button in (('mouseMoved', start, 'none'),
                                 ('mousePressed', start, 'left'),
                                 ('mouseMoved', end, 'left'),
                                 ('mouseReleased', end, 'left')):
      self._call('Input.dispatchMouseEvent', type=kind, button=button,
                 buttons=int(button == 'left'), clickCount=1,
                 x=left + x * width, y=top + y * height)

  def screenshot(self, path: str | os.PathLike, *, whole: bool = False) -> None:
    """Writes a PNG of what is seen, or of the whole page."""
    png = self._call('Page.captureScreenshot', format='png',
                     captureBeyondViewport=whole)['data']
    pathlib.Path(path).write_bytes(base64.b64decode(png))

  def _call(self, method, **parameters):
    """Sends one command and returns its result; notes events on the way."""
    self._last_id += 1
    message = {'id': self._last_id, 'method': method, 'params': parameters}
    if self._session:
      message['sessionId'] = self._session
    os.write(self._process.stdin.fileno(), json.dumps(message).encode() + b'\0')
    while True:
      answer = self._receive()
      if answer.get('id') == self._last_id:
        break
      self._take(answer)
    if 'error' in answer:
      raise RuntimeError(f'{method}: {answer["error"]["message"]}')
    return answer['result']

  def _receive(self):
    pipe = self._process.stdout.fileno()
    while b'\0' not in self._unread:
      left = max(0, self._deadline - time.monotonic())
      if not select.select([pipe], [], [], left)[0]:
        raise TimeoutError('the browser took longer than it was given')
      piece = os.read(pipe, 1 << 20)
      if not piece:
        raise RuntimeError('the browser has ended')
      self._unread += piece
    message, _, self._unread = self._unread.partition(b'\0')
    return json.loads(message)

  def _take(self, event):
    method, told = event.get('method'), event.get('params', {})
    if method == 'Page.loadEventFired':
      self._loaded = True
    elif method == 'Runtime.exceptionThrown':
      self.errors.append(_exception(told['exceptionDetails']))
    elif method == 'Runtime.consoleAPICalled' and told['type'] in (
        'error', 'assert'):
      self.errors.append(' '.join(
          str(one.get('value', one.get('description')))
          for one in told['args']))
    elif method == 'Log.entryAdded' and told['entry']['level'] == 'error':
      self.errors.append(told['entry']['text'])
    elif method == 'Network.requestWillBeSent':
      address = told['request']['url']
      if not address.startswith(('file:', 'data:', 'blob:', 'about:')):
        self.requests.append(address)


def _found(selector):
  return f'document.querySelector({json.dumps(selector)})'


def _exception(details):
  return details.get('exception', {}).get('description', details['text'])


@contextlib.contextmanager
def open_page(path: str | os.PathLike, *, width: int = 1000,
              height: int = 800, timeout_s: float = 90) -> Iterator[Page]:
  """Opens a file in a new browser that ends with the block.

  Args:
    path: of the HTML file, or an address such as http://127.0.0.1:8000/.
    width: of the window in pixels.
    height: of the window in pixels.
    timeout_s: for the start and all of the block's calls together.

  Raises:
    TimeoutError: if that is not enough.
    RuntimeError: if the browser does not start or ends by itself.
  """
  address = str(path)
  if '://' not in address:
    address = pathlib.Path(path).absolute().as_uri()
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    process = subprocess.Popen(
        ['sh', '-c', _ON_PIPE, 'sh', CHROMIUM, *_FLAGS,
         f'--user-data-dir={profile}'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
      page = Page(process, time.monotonic() + timeout_s)
      page.open(address, width, height)
      yield page
    finally:
      with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
      process.communicate()
