"""What can be asked of anything that predicts volumes."""

from typing import Protocol

import numpy as np

from mtf_unet import volumes


class Predictor(Protocol):
  """Maps images to class probabilities."""

  def probabilities(self, image: np.ndarray) -> np.ndarray:
    """Maps float32 [x, y, z, channels] to float32 [x, y, z, classes]."""


class Network(Predictor, Protocol):
  """A predictor that is given the weights of one checkpoint after another."""

  def restore(self, checkpoint: str) -> None:
    """Loads weights from a checkpoint's path prefix."""


class ScanPredictor(Protocol):
  """Maps scans as they were read from their files to probabilities."""

  def predict(self, volume: volumes.Volume) -> np.ndarray:
    """Maps a scan to float32 [x, y, z, classes] on the scan's own grid."""
