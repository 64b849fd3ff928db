"""Checkpoints to a SavedModel."""

from collections.abc import Sequence
import os

from mtf_unet import checkpoints
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import saved_model
from mtf_unet import trained_weights


def export(config: config_lib.Config, model_dirs: Sequence[str],
           folder: str | os.PathLike) -> list[str]:
  """Writes the best (else newest) checkpoint of each folder as one SavedModel.

  Args:
    config: the experiment; its flips and moving averages are taken over.
    model_dirs: folders of one network, whose probabilities are averaged.
    folder: of the SavedModel; must not exist.

  Returns:
    The checkpoints' path prefixes.

  Raises:
    InputError: if a folder has no checkpoint or was trained with another
      network, if a checkpoint is damaged, or for sliding windows, which a
      single pass cannot stand for as it can for slabs.
  """
  if config.prediction.method == 'sliding_window':
    raise errors.InputError(
        f'config key prediction.method: got {config.prediction.method!r}, '
        "expected 'whole' or 'slabs' to export: a SavedModel takes one pass")
  for model_dir in model_dirs:
    checkpoints.check_folder(model_dir, config, training=False)
  paths = [checkpoints.for_prediction(model_dir) for model_dir in model_dirs]
  saved_model.write(folder, config,
                    [trained_weights.read(path, config) for path in paths])
  return paths
