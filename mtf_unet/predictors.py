"""What can be asked of anything that predicts volumes."""

from typing import Protocol

import numpy as np


class Predictor(Protocol):
  """Maps images to class probabilities."""

  def probabilities(self, image: np.ndarray) -> np.ndarray:
    """Maps float32 [x, y, z, channels] to float32 [x, y, z, classes]."""


class Network(Predictor, Protocol):
  """A predictor that is given the weights of one checkpoint after another."""

  def restore(self, checkpoint: str) -> None:
    """Loads weights from a checkpoint's path prefix."""
