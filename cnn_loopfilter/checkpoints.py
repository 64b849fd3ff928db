"""What a training leaves in its folder, and reading a filter out of it."""

import dataclasses
import json
import os

import tensorflow as tf

from cnn_loopfilter import atomic_file
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import errors
from cnn_loopfilter import float_filter
from cnn_loopfilter import network

# What the name of a variable's moving average ends on.
AVERAGE = '/ExponentialMovingAverage'


def latest(folder: str | os.PathLike) -> str | None:
  """Returns the newest checkpoint in a folder, or None."""
  return tf.train.latest_checkpoint(str(folder))


def step_of(checkpoint: str | None) -> int:
  """Returns the step that a checkpoint was written at, 0 for None."""
  return int(checkpoint.rsplit('-', 1)[1]) if checkpoint else 0


def _config_path(folder):
  return os.path.join(folder, 'config.json')


def write_config(folder: str | os.PathLike, config: config_lib.Config) -> None:
  """Keeps the config beside the checkpoints."""
  atomic_file.write_json(_config_path(folder), dataclasses.asdict(config))


def read_config(folder: str | os.PathLike) -> config_lib.Config:
  """Reads the config that a training was started with.

  Raises:
    InputError: if the folder holds no training.
  """
  try:
    with open(_config_path(folder), encoding='utf-8') as stream:
      return config_lib.from_mapping(json.load(stream))
  except (FileNotFoundError, NotADirectoryError, ValueError) as error:
    raise errors.InputError(
        f'{folder}: no training with a config.json here ({error}), expected '
        'the --model_dir of train.py') from error


def check_folder(folder: str | os.PathLike, config: config_lib.Config) -> None:
  """Refuses to continue a training of another network.

  Raises:
    InputError: naming the key that differs.
  """
  if latest(folder) is None:
    return
  there = dataclasses.asdict(read_config(folder).network)
  for key, value in dataclasses.asdict(config.network).items():
    # How it is computed may change on the way, what is computed may not.
    if there[key] != value and key != 'activation_dtype':
      raise errors.InputError(
          f'{folder}: holds a training with network.{key} {there[key]!r}, '
          f'the config says {value!r}; expected the same, or another folder')


def read_filter(folder: str | os.PathLike, *, averaged: bool = True,
                checkpoint: str | None = None) -> float_filter.FloatFilter:
  """Reads a float filter out of a training's newest checkpoint.

  Args:
    folder: of the training.
    averaged: take the moving averages of the weights where there are any.
    checkpoint: another one than the newest.

  Raises:
    InputError: if there is none or it cannot be read.
  """
  config = read_config(folder)
  checkpoint = checkpoint or latest(folder)
  if checkpoint is None:
    raise errors.InputError(
        f'{folder}: no checkpoint here, expected a training')
  try:
    reader = tf.train.load_checkpoint(checkpoint)
    known = reader.get_variable_to_shape_map()

    def value(name):
      average = name + AVERAGE
      return reader.get_tensor(
          average if averaged and average in known else name)
    return network.filter_of(
        config.network, value, depth=config.data.depth, description={
            'step': step_of(checkpoint), 'config': dataclasses.asdict(config)})
  except (tf.errors.OpError, ValueError, RuntimeError) as error:
    message = str(error).splitlines()[0]
    raise errors.InputError(
        f'{checkpoint}: cannot be read ({message})') from error


def read_start(path: str | os.PathLike) -> float_filter.FloatFilter:
  """Reads weights to start from: an .npz, or a training's folder.

  Raises:
    InputError: if it is neither.
  """
  if os.path.isdir(path):
    return read_filter(path)
  try:
    return float_filter.load(path)
  except OSError as error:
    raise errors.InputError(
        f'{path}: {error.strerror}, expected a float filter (.npz) or the '
        'folder of a training') from error
