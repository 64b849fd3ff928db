"""Checkpoints to a SavedModel."""

from collections.abc import Sequence
import os

import numpy as np
import tensorflow as tf

from mtf_unet import architecture
from mtf_unet import checkpoints
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import model
from mtf_unet import saved_model


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
      single pass cannot stand for.
  """
  if config.prediction.method != 'whole':
    raise errors.InputError(
        f'config key prediction.method: got {config.prediction.method!r}, '
        "expected 'whole' to export: a SavedModel takes volumes in one pass")
  for model_dir in model_dirs:
    checkpoints.check_folder(model_dir, config, training=False)
  paths = [checkpoints.for_prediction(model_dir) for model_dir in model_dirs]
  saved_model.write(folder, config,
                    [read_weights(path, config) for path in paths])
  return paths


def read_weights(checkpoint: str, config: config_lib.Config
                 ) -> dict[str, np.ndarray]:
  """Reads the weights to predict with, by their names in the network.

  Args:
    checkpoint: path prefix.
    config: the experiment; with `ema_decay` the moving averages are read.

  Raises:
    InputError: if it is damaged or holds another network.
  """
  layers = architecture.layers(config.network, model.image_channels(config),
                               config.data.num_classes)
  listed = [variable for layer in layers
            for variable in architecture.variables(layer, config.network)]
  with checkpoints.reading(checkpoint):
    reader = tf.train.load_checkpoint(checkpoint)
    weights = {}
    for variable in listed:
      averaged = variable.trainable and config.training.ema_decay > 0
      name = f'{model.EMA_SCOPE}/' * averaged + variable.name
      value = reader.get_tensor(name)
      if value.shape != variable.shape:
        raise ValueError(f'{name} has shape {value.shape}, expected '
                         f'{variable.shape}')
      weights[variable.name] = value
  return weights
