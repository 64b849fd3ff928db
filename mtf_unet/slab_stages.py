"""A network as stages through which a volume flows slab by slab.

A slab is [slices, y, z, channels], a run of slices along the first axis; slabs
come in order and may be of any thickness. Each stage takes the next slab of
its input, keeps what it will need of it, and returns what of its output is
certain by now: a 3x3x3 convolution is always one slice behind, pooling waits
for pairs. Nothing is computed twice and nothing approximated; beyond the ends
of a volume each stage sees its own zeros, as in one pass.

`run` holds one slab at a time outside of the stages.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mtf_unet import running_moments
from mtf_unet import slab_store

Function = Callable[[np.ndarray], np.ndarray]


class Stage(Protocol):
  """One step of the network."""

  def push(self, slab: np.ndarray) -> np.ndarray | None:
    """Takes the next slab; returns the next of the output, if any."""

  def finish(self) -> Iterator[np.ndarray]:
    """Yields the rest of the output, once the input has ended."""


def run(stages: Sequence[Stage], slabs: Iterable[np.ndarray]
        ) -> Iterator[np.ndarray]:
  """Sends slabs through stages.

  Args:
    stages: each is fed by the one before.
    slabs: input of the first one.

  Yields:
    The output of the last one.
  """
  for slab in slabs:
    yield from _through(stages, slab)
  for index, stage in enumerate(stages):
    for slab in stage.finish():
      yield from _through(stages[index + 1:], slab)


def _through(stages, slab):
  for stage in stages:
    slab = stage.push(slab)
    if slab is None:
      return
  yield slab


class _Immediate:
  """A stage that owes nothing when its input has ended."""

  def finish(self) -> Iterator[np.ndarray]:
    """Yields nothing."""
    return iter(())


class Pointwise(_Immediate):
  """A function of each slice alone.

  Args:
    function: maps slabs.
  """

  def __init__(self, function: Function):
    self._function = function

  def push(self, slab: np.ndarray) -> np.ndarray:
    """Maps a slab."""
    return self._function(slab)


class Windowed:
  """A function whose every slice reads neighbours; zeros beyond the ends.

  Args:
    function: maps n + 2 margin slices to n.
    margin: slices read before and after each, 1 or more.
  """

  def __init__(self, function: Function, margin: int):
    self._function, self._margin = function, margin
    self._kept = None

  def push(self, slab: np.ndarray) -> np.ndarray | None:
    """Returns what the slab completes; lags by the margin."""
    if self._kept is None:
      self._kept = self._zeros(slab)
    window = np.concatenate([self._kept, slab])
    # A copy, so that not the whole window stays.
    self._kept = window[-2 * self._margin:].copy()
    if len(window) <= 2 * self._margin:
      return None
    return self._function(window)

  def _zeros(self, like):
    return np.zeros((self._margin, *like.shape[1:]), like.dtype)

  def finish(self) -> Iterator[np.ndarray]:
    """Yields the last slices."""
    last = self.push(self._zeros(self._kept))
    if last is not None:
      yield last


class Paired(_Immediate):
  """A function of pairs of slices, the first pair at the volume's beginning.

  A volume has an even number of slices where this is used.

  Args:
    function: maps 2 n slices to n.
  """

  def __init__(self, function: Function):
    self._function, self._single = function, None

  def push(self, slab: np.ndarray) -> np.ndarray | None:
    """Maps the pairs; a single slice waits for the next slab."""
    if self._single is not None:
      slab, self._single = np.concatenate([self._single, slab]), None
    if len(slab) % 2:
      slab, self._single = slab[:-1], slab[-1:].copy()
    return self._function(slab) if len(slab) else None


class Remember(_Immediate):
  """Passes slabs on and queues them as well.

  Args:
    queue: that `Join` takes them from.
  """

  def __init__(self, queue: slab_store.Queue):
    self._queue = queue

  def push(self, slab: np.ndarray) -> np.ndarray:
    """Returns the slab itself."""
    self._queue.put(slab)
    return slab


class Join(_Immediate):
  """Appends the channels of the same slices of a queue.

  Args:
    queue: that `Remember` fills, ahead of what comes here.
  """

  def __init__(self, queue: slab_store.Queue):
    self._queue = queue

  def push(self, slab: np.ndarray) -> np.ndarray:
    """Returns [slab, queue] along the channels."""
    return np.concatenate([slab, self._queue.take(len(slab))], axis=-1)


class WholeStatistics:
  """A norm by the statistics of all slabs, which therefore wait for the last.

  Args:
    moments: maps a slab to its mean and unbiased variance by channel.
    normalize: maps (slab, mean, variance), float64 [channels] of all slabs.
    queue: where the slabs wait.
  """

  def __init__(self, moments: Callable[[np.ndarray], Sequence[np.ndarray]],
               normalize: Callable[..., np.ndarray], queue: slab_store.Queue):
    self._moments, self._normalize = moments, normalize
    self._queue, self._statistics = queue, None

  def push(self, slab: np.ndarray) -> None:
    """Returns nothing yet."""
    channels = slab.shape[-1]
    if self._statistics is None:
      self._statistics = running_moments.RunningMoments(channels)
    self._statistics.add(slab.size // channels, *self._moments(slab))
    self._queue.put(slab)

  def finish(self) -> Iterator[np.ndarray]:
    """Yields every slab, normalised."""
    mean, variance = self._statistics.mean, self._statistics.variance
    for slab in self._queue.drain():
      yield self._normalize(slab, mean, variance)
