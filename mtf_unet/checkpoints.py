"""What a model folder holds, and whether it fits the job.

  config.json       the experiment, written when the training starts
  model.ckpt-N.*    the newest checkpoints
  best/             see best_checkpoint.py
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import json
import os
import re

import tensorflow as tf

from mtf_unet import atomic_file
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import tensorflow_errors

CONFIG_FILE = 'config.json'
BEST_FOLDER = 'best'
# In a name TensorFlow takes these for patterns, and finds no checkpoint there.
_PATTERN_CHARACTERS = '*?[]\\'


def architecture(config: config_lib.Config) -> dict[str, object]:
  """Returns the settings that must not change under a checkpoint."""
  settings = {f'network.{key}': value for key, value in
              dataclasses.asdict(config.network).items()
              if key not in ('dropout_keep', 'activation_dtype',
                             'recompute')}
  for key in ('num_classes', 'channels', 'neighbor_slices', 'normalization'):
    settings[f'data.{key}'] = getattr(config.data, key)
  if config.data.normalization == 'window':
    # As JSON gives it back.
    settings['data.window'] = list(config.data.window)
  settings['optimizer.name'] = config.optimizer.name
  settings['training.ema_decay > 0'] = config.training.ema_decay > 0
  return settings


def check_folder(model_dir: str, config: config_lib.Config,
                 training: bool) -> None:
  """Compares a model folder's experiment with the job's.

  A folder without a checkpoint fits everything, and a setting that the folder
  does not tell is taken to be the same.

  Args:
    model_dir: folder with or without a config.json.
    config: the job's.
    training: when not, optimizer and deep supervision may differ, and the
      weights themselves may be used where their averages are kept too.

  Raises:
    InputError: naming every setting that differs, or for a name that
      TensorFlow takes for a pattern.
  """
  bad = [c for c in _PATTERN_CHARACTERS if c in model_dir]
  if bad:
    raise errors.InputError(
        f'{model_dir}: the name has {" and ".join(bad)}, which TensorFlow '
        'takes for a pattern; expected another --model_dir')
  path = os.path.join(model_dir, CONFIG_FILE)
  if not tf.io.gfile.exists(path) or latest(model_dir) is None:
    return
  try:
    with tf.io.gfile.GFile(path) as file:
      stored = dict(json.loads(file.read())['architecture'])
  except (ValueError, KeyError, TypeError) as error:
    raise errors.InputError(
        f'{path}: no readable experiment ({error}), expected the file that '
        'the training wrote') from error
  wanted = architecture(config)
  if not training:
    del wanted['optimizer.name'], wanted['network.deep_supervision']
    if not config.training.ema_decay:
      del wanted['training.ema_decay > 0']
  differing = [f'{key} is {stored[key]!r} there and {value!r} here'
               for key, value in wanted.items()
               if stored.get(key, value) != value]
  if differing:
    raise errors.InputError(
        f'{model_dir}: trained with another network: {"; ".join(differing)}; '
        'expected the same settings, or another --model_dir')


def write_config(model_dir: str, config: config_lib.Config) -> None:
  """Records the experiment in its model folder, here or in a bucket."""
  path = os.path.join(model_dir, CONFIG_FILE)
  content = {'architecture': architecture(config),
             'config': dataclasses.asdict(config)}
  if atomic_file.is_remote(path):
    # Buckets have a file once it is closed, and then all of it.
    with tf.io.gfile.GFile(path, 'w') as file:
      file.write(json.dumps(content, indent=2))
  else:
    atomic_file.write_json(path, content)


def complete(model_dir: str) -> list[str]:
  """Lists the checkpoints of a folder, the oldest first.

  The index is the last file of a checkpoint to be written, so one with an
  index is whole. TensorFlow's own list, the file `checkpoint`, is not asked:
  where it is lost or names what is gone, a training would start anew.
  """
  found = {}
  for path in tf.io.gfile.glob(os.path.join(model_dir, '*.index')):
    match = re.fullmatch(r'.*-(\d+)\.index', path)
    if match:
      found[int(match[1])] = path.removesuffix('.index')
  return [found[step] for step in sorted(found)]


def latest(model_dir: str) -> str | None:
  """Returns the newest complete checkpoint, or None."""
  return (complete(model_dir) or [None])[-1]


def newest_step(model_dir: str) -> int:
  """Returns the step at which a training in this folder goes on.

  Raises:
    InputError: if the newest checkpoint is damaged.
  """
  return step_of(latest(model_dir))


def write_list(model_dir: str) -> None:
  """Has TensorFlow resume from the newest complete checkpoint."""
  names = list(map(os.path.basename, complete(model_dir)))
  tf.compat.v1.train.update_checkpoint_state(model_dir, names[-1], names)


def for_prediction(model_dir: str) -> str:
  """Returns the best checkpoint where kept, else the newest.

  Raises:
    InputError: if there is none.
  """
  path = latest(os.path.join(model_dir, BEST_FOLDER)) or latest(model_dir)
  if path is None:
    raise errors.InputError(
        f'{model_dir}: no checkpoint found, expected a folder that '
        '--mode=train has filled')
  return path


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
  """Tells in one line that a checkpoint cannot be read.

  Raises:
    InputError: in place of what TensorFlow raises within the context.
  """
  try:
    yield
  except (tf.errors.OpError, ValueError, IndexError) as error:
    raise errors.InputError(
        f'{path}: damaged, or the checkpoint of another network '
        f'({tensorflow_errors.reason(error)}); where it is damaged, remove '
        'its files to go on from the one before') from error


def step_of(path: str | None) -> int:
  """Returns the global step stored in a checkpoint, 0 without one.

  Raises:
    InputError: if it is damaged.
  """
  if path is None:
    return 0
  with reading(path):
    return int(tf.train.load_variable(path, 'global_step'))


class Saver(tf.compat.v1.train.Saver):
  """Saves and restores a training, and says in one line when it cannot.

  Args:
    device: that reads and writes the files; '' for any.
  """

  def __init__(self, device: str = ''):
    self._device = device
    super().__init__(allow_empty=True, save_relative_paths=True)

  def build(self):
    with tf.device(self._device):
      super().build()

  def save(self, sess, save_path, global_step=None, **keywords):
    try:
      return super().save(sess, save_path, global_step=global_step, **keywords)
    except tf.errors.OpError as error:
      _remove_half(f'{save_path}-{global_step}')
      kept = latest(os.path.dirname(save_path))
      raise errors.InputError(
          f'{save_path}-{global_step}: the checkpoint could not be written '
          f'({tensorflow_errors.reason(error)}); make space, then the same '
          f'command resumes from {kept or "the start"}') from error

  def restore(self, sess, save_path):
    with reading(save_path):
      super().restore(sess, save_path)


def _remove_half(checkpoint):
  """Removes what a failed save wrote, but no checkpoint that was whole."""
  whole = tf.io.gfile.exists(f'{checkpoint}.index')
  for path in tf.io.gfile.glob(f'{checkpoint}.*'):
    if not whole or 'temp' in os.path.basename(path):
      tf.io.gfile.remove(path)
