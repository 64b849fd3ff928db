"""The weights of a checkpoint as arrays, for programs without the mesh."""

import numpy as np
import tensorflow as tf

from mtf_unet import architecture
from mtf_unet import checkpoints
from mtf_unet import config as config_lib
from mtf_unet import model


def read(checkpoint: str, config: config_lib.Config) -> dict[str, np.ndarray]:
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
