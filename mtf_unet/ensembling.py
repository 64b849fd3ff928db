"""Means of probabilities: over flips of the volume, over several networks."""

from collections.abc import Callable
from collections.abc import Sequence
import itertools

import numpy as np

from mtf_unet import label_maps
from mtf_unet import predictors


def flip_combinations(axes: Sequence[int]) -> list[tuple[int, ...]]:
  """Lists all 2^n subsets of the axes, the empty one first."""
  return [subset for count in range(len(axes) + 1)
          for subset in itertools.combinations(axes, count)]


class FlipMean(predictors.ByProbabilities):
  """The mean of the probabilities over all flips along some axes.

  Args:
    inner: predicts one volume.
    axes: out of 0, 1, 2.
  """

  def __init__(self, inner: predictors.Network, axes: Sequence[int]):
    self._inner, self._flips = inner, flip_combinations(axes)

  def restore(self, checkpoint: str) -> None:
    """Loads weights from a checkpoint's path prefix."""
    self._inner.restore(checkpoint)

  def probabilities(self, image: np.ndarray) -> np.ndarray:
    """Maps [x, y, z, channels] to [x, y, z, classes]."""
    return mean(lambda axes: np.flip(
        self._inner.probabilities(np.flip(image, axes)), axes), self._flips)


class Ensemble:
  """The mean of the probabilities of several checkpoints of one network.

  Each volume goes through one graph that is given the weights of one
  checkpoint after the other, so that more of them take no more memory.

  Args:
    inner: predicts with one checkpoint.
    checkpoints: path prefixes, at least one; kept as an attribute.
  """

  def __init__(self, inner: predictors.Network,
               checkpoints: Sequence[str]):
    self._inner, self._restored = inner, None
    self.checkpoints = tuple(checkpoints)

  def probabilities(self, image: np.ndarray) -> np.ndarray:
    """Maps [x, y, z, channels] to [x, y, z, classes]."""
    def one(checkpoint):
      self._restore(checkpoint)
      return self._inner.probabilities(image)
    return mean(one, self.checkpoints)

  def labels(self, image: np.ndarray) -> np.ndarray:
    """Maps [x, y, z, channels] to uint8 [x, y, z]."""
    if len(self.checkpoints) > 1:
      return label_maps.most_probable(self.probabilities(image))
    self._restore(self.checkpoints[0])
    return self._inner.labels(image)

  def _restore(self, checkpoint):
    if self._restored != checkpoint:
      self._inner.restore(checkpoint)
      self._restored = checkpoint


def mean(function: Callable, arguments: Sequence) -> np.ndarray:
  """Returns the mean of function(argument), holding one result at a time."""
  total = np.array(function(arguments[0]))
  for argument in arguments[1:]:
    total += function(argument)
  total /= len(arguments)
  return total
