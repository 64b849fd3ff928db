"""How far a row of files or cases is done."""

import sys

import tqdm


class ItemProgress:
  """A bar on a terminal; elsewhere a line for each tenth at least.

  Args:
    unit: what is counted.
  """

  def __init__(self, unit: str):
    self._unit, self._bar = unit, None

  def __call__(self, done: int, total: int, name: str = '') -> None:
    """Shows that `done` of `total` are done, the last of them `name`."""
    if not sys.stderr.isatty():
      if done * 10 // total > (done - 1) * 10 // total:
        print(f'{done} of {total} {self._unit}s', file=sys.stderr, flush=True)
      return
    if self._bar is None:
      self._bar = tqdm.tqdm(total=total, unit=self._unit, file=sys.stderr)
    self._bar.set_postfix_str(name, refresh=False)
    self._bar.update(done - self._bar.n)
    if done == total:
      self._bar.close()
