"""What can be asked of anything that predicts volumes."""

from typing import Protocol

import numpy as np

from mtf_unet import label_maps
from mtf_unet import volumes


class Predictor(Protocol):
  """Maps images to class probabilities, or to the most probable class."""

  def probabilities(self, image: np.ndarray) -> np.ndarray:
    """Maps float32 [x, y, z, channels] to float32 [x, y, z, classes]."""

  def labels(self, image: np.ndarray) -> np.ndarray:
    """Maps float32 [x, y, z, channels] to uint8 [x, y, z]."""


class ByProbabilities:
  """Labels of a predictor that makes all probabilities in any case."""

  def labels(self, image: np.ndarray) -> np.ndarray:
    """Maps float32 [x, y, z, channels] to uint8 [x, y, z]."""
    return label_maps.most_probable(self.probabilities(image))


class Network(Predictor, Protocol):
  """A predictor that is given the weights of one checkpoint after another."""

  def restore(self, checkpoint: str) -> None:
    """Loads weights from a checkpoint's path prefix."""


class ScanPredictor(Protocol):
  """Maps scans as they were read from their files to what is on their grid."""

  def predict(self, volume: volumes.Volume) -> np.ndarray:
    """Maps a scan to probabilities, float32 [x, y, z, classes]."""

  def label(self, volume: volumes.Volume) -> np.ndarray:
    """Maps a scan to the most probable class, uint8 [x, y, z]."""
