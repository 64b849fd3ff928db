"""From class probabilities to the label map that a user gets."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from mtf_unet import config as config_lib

# Voxels hang together through faces, edges and corners, as in nnU-Net.
_NEIGHBOURS = np.ones((3, 3, 3), bool)


def from_probabilities(probabilities: np.ndarray,
                       config: config_lib.PredictionConfig) -> np.ndarray:
  """Takes the most probable class and what the config wants of it.

  Args:
    probabilities: [x, y, z, classes].
    config: `largest_component` counts here.

  Returns:
    uint8 [x, y, z].
  """
  return keep_largest(most_probable(probabilities), config.largest_component)


def most_probable(probabilities: np.ndarray) -> np.ndarray:
  """Takes the most probable class, uint8; the lowest where some tie."""
  return np.argmax(probabilities, axis=-1).astype(np.uint8)


def keep_largest(label: np.ndarray, classes: Sequence[int]) -> np.ndarray:
  """Leaves of each given class only the largest connected component.

  Args:
    label: uint8 [x, y, z].
    classes: each is looked at alone; what is removed becomes background. Of
      components of equal size the first in the order of the voxels is kept.

  Returns:
    A label map of the same type; the given one stays as it is.
  """
  label = label.copy()
  for index in classes:
    components, count = ndimage.label(label == index, _NEIGHBOURS)
    if count > 1:
      sizes = np.bincount(components.ravel())
      largest = 1 + np.argmax(sizes[1:])
      label[(components > 0) & (components != largest)] = 0
  return label
