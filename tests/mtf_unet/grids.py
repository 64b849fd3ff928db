"""Between the file's grid and the network's, as the parts of the package go."""

import numpy as np

from mtf_unet import preprocess


def network_image(volume, data_config, size=None):
  """Returns what the network sees of a volume, and its geometry."""
  grid, geometry = preprocess.to_grid(volume, data_config)
  return preprocess.to_input(grid, geometry, data_config, size, volume.path)


def network_label(label, geometry):
  """Takes a label map [x, y, z] to the network's grid; padding is 0."""
  return np.pad(preprocess.label_to_grid(label, geometry), geometry.padding)


def native_label(label, geometry):
  """Takes a certain prediction of these labels back to the file's grid."""
  certain = np.eye(label.max() + 1)[label]
  return preprocess.probabilities_to_native_grid(certain, geometry).argmax(-1)
