"""Prediction window by window, for networks that are trained on patches.

Windows lie evenly, at most (1 - overlap) of their edge apart, the first and
the last at the volume's ends. A voxel's probabilities are the mean over the
windows that hold it, weighted by a Gaussian about each window's centre whose
deviation is an eighth of the edge (as in nnU-Net, which takes the mean of the
logits where we take that of the probabilities): near its border a window sees
less of the surroundings.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import itertools
import math

import numpy as np

from mtf_unet import predictors

_DEVIATION = 1 / 8


class SlidingWindow(predictors.ByProbabilities):
  """Maps volumes of any size to probabilities.

  Args:
    inner: predicts windows.
    size: of a window along x, y, z; smaller volumes are padded with zeros.
    overlap: part of a window that overlaps with the next one, in [0, 1).
  """

  def __init__(self, inner: predictors.Network, size: Sequence[int],
               overlap: float):
    self._inner, self._size, self._overlap = inner, tuple(size), overlap
    self._weight = gaussian(self._size)

  def restore(self, checkpoint: str) -> None:
    """Loads weights from a checkpoint's path prefix."""
    self._inner.restore(checkpoint)

  def probabilities(self, image: np.ndarray) -> np.ndarray:
    """Computes class probabilities.

    Args:
      image: float32 [x, y, z, channels].

    Returns:
      float32 [x, y, z, classes].
    """
    image, inside = padded(image, [max(n, size) for n, size in zip(
        image.shape, self._size)])
    total, weights = None, np.zeros(image.shape[:3], np.float32)
    for place in windows(image.shape[:3], self._size, self._overlap):
      part = self._inner.probabilities(image[place])
      if total is None:
        total = np.zeros(image.shape[:3] + part.shape[3:], np.float32)
      total[place] += part * self._weight[..., np.newaxis]
      weights[place] += self._weight
    total /= weights[..., np.newaxis]
    return total[inside]


def windows(shape: Sequence[int], size: Sequence[int], overlap: float
            ) -> Iterator[tuple[slice, ...]]:
  """Yields the windows' places, in the order of the voxels."""
  starts = [_starts(n, edge, overlap) for n, edge in zip(shape, size)]
  for corner in itertools.product(*starts):
    yield tuple(slice(at, at + edge) for at, edge in zip(corner, size))


def _starts(length, edge, overlap):
  step = max(1, math.floor(edge * (1 - overlap)))
  count = math.ceil((length - edge) / step) + 1
  return [int(at) for at in np.rint(np.linspace(0, length - edge, count))]


def gaussian(size: Sequence[int]) -> np.ndarray:
  """Returns the weights of a window's voxels, float32, above 0 to 1."""
  weight = np.ones((), np.float32)
  for edge in size:
    distance = (np.arange(edge) - (edge - 1) / 2) / (edge * _DEVIATION)
    weight = np.multiply.outer(weight, np.exp(-distance**2 / 2))
  return (weight / weight.max()).astype(np.float32)


def padded(image: np.ndarray, size: Sequence[int]
           ) -> tuple[np.ndarray, tuple[slice, ...]]:
  """Centres a volume in zeros.

  Args:
    image: [x, y, z, channels].
    size: voxels along x, y, z, at least the image's.

  Returns:
    The larger volume (no copy where it is no larger), and where in it the
    image lies.
  """
  before = [(n - m) // 2 for n, m in zip(size, image.shape)]
  widths = [(b, n - m - b) for b, n, m in zip(before, size, image.shape)]
  inside = tuple(slice(b, b + m) for b, m in zip(before, image.shape))
  if image.shape[:3] != tuple(size):
    image = np.pad(image, widths + [(0, 0)])
  return image, inside
