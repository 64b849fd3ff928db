"""What a model folder holds, and whether it fits the job.

  config.json       the experiment, written when the training starts
  model.ckpt-N.*    the newest checkpoints
  best/             the checkpoint of the best validation Dice, metrics.json
"""

import dataclasses
import json
import os
import shutil

import tensorflow as tf

from mtf_unet import atomic_file
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import model

CONFIG_FILE = 'config.json'
BEST_FOLDER = 'best'
METRICS_FILE = 'metrics.json'

# In the names of optimizer state, which a warm start leaves behind.
_SLOTS = ('/adam_', '_slot_')


def architecture(config: config_lib.Config) -> dict[str, object]:
  """Returns the settings that must not change under a checkpoint."""
  settings = {f'network.{key}': value for key, value in
              dataclasses.asdict(config.network).items()
              if key not in ('dropout_keep', 'activation_dtype')}
  for key in ('num_classes', 'channels', 'neighbor_slices'):
    settings[f'data.{key}'] = getattr(config.data, key)
  settings['optimizer.name'] = config.optimizer.name
  settings['training.ema'] = config.training.ema_decay > 0
  return settings


def check_folder(model_dir: str, config: config_lib.Config,
                 training: bool) -> None:
  """Compares a model folder's experiment with the job's.

  Args:
    model_dir: folder with or without a config.json.
    config: the job's.
    training: when not, the optimizer may differ.

  Raises:
    InputError: naming every setting that differs.
  """
  path = os.path.join(model_dir, CONFIG_FILE)
  if not os.path.exists(path):
    return
  try:
    with open(path, encoding='utf-8') as file:
      stored = json.load(file)['architecture']
  except (json.JSONDecodeError, KeyError, UnicodeDecodeError) as error:
    raise errors.InputError(
        f'{path}: no readable experiment ({error}), expected the file that '
        'the training wrote') from error
  wanted = json.loads(json.dumps(architecture(config)))
  differing = [
      f'{key} is {stored.get(key)!r} there and {value!r} here'
      for key, value in wanted.items()
      if stored.get(key) != value and (training or key != 'optimizer.name')]
  if differing:
    raise errors.InputError(
        f'{model_dir}: trained with another network: {"; ".join(differing)}; '
        'expected the same settings, or another --model_dir')


def write_config(model_dir: str, config: config_lib.Config) -> None:
  """Records the experiment in its model folder."""
  atomic_file.write_json(
      os.path.join(model_dir, CONFIG_FILE),
      {'architecture': architecture(config),
       'config': dataclasses.asdict(config)})


def latest(model_dir: str) -> str | None:
  """Returns the newest complete checkpoint, or None."""
  path = tf.train.latest_checkpoint(model_dir)
  return path if path and os.path.exists(path + '.index') else None


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


def step_of(path: str | None) -> int:
  """Returns the global step stored in a checkpoint, 0 without one."""
  if path is None:
    return 0
  return int(tf.train.load_variable(path, 'global_step'))


class BestCheckpoint:
  """Keeps a copy of the checkpoint with the highest score.

  Args:
    model_dir: the job's folder; the copy lies in its sub-folder best/.
  """

  def __init__(self, model_dir: str):
    self._folder = os.path.join(model_dir, BEST_FOLDER)

  @property
  def score(self) -> float:
    """The score of the copy, minus infinity without one."""
    try:
      with open(os.path.join(self._folder, METRICS_FILE),
                encoding='utf-8') as file:
        return float(json.load(file)['score'])
    except (FileNotFoundError, ValueError, KeyError):
      return float('-inf')

  def offer(self, checkpoint: str, score: float) -> bool:
    """Copies the checkpoint if its score beats the copy's; says whether."""
    if not score > self.score:
      return False
    # The new copy is complete before the old one goes.
    fresh = self._folder + '.new'
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh)
    name = os.path.basename(checkpoint)
    for path in tf.io.gfile.glob(checkpoint + '.*'):
      shutil.copy(path, fresh)
    tf.compat.v1.train.update_checkpoint_state(fresh, name, [name])
    atomic_file.write_json(os.path.join(fresh, METRICS_FILE),
                           {'score': score, 'step': step_of(checkpoint)})
    shutil.rmtree(self._folder, ignore_errors=True)
    os.replace(fresh, self._folder)
    return True


def resolve(path: str) -> str | None:
  """Returns the checkpoint that a path or its folder means, or None."""
  checkpoint = latest(path) if os.path.isdir(path) else path
  if checkpoint is None or not os.path.exists(checkpoint + '.index'):
    return None
  return checkpoint


def warm_start_map(path: str, variables: list[tf.Variable]) -> dict[str, str]:
  """Finds the variables that a checkpoint can start.

  Args:
    path: checkpoint file or folder.
    variables: of the new training.

  Returns:
    Names in the checkpoint to names here, where the shapes agree; a weight's
    moving average is preferred, the global step and optimizer state are left
    out.

  Raises:
    InputError: if nothing agrees or there is no checkpoint.
  """
  checkpoint = resolve(path)
  if checkpoint is None:
    raise errors.InputError(
        f'config key training.warm_start: no checkpoint at {path!r}, expected '
        'a checkpoint or a folder with one')
  stored = dict(tf.train.list_variables(checkpoint))
  found = {}
  for variable in variables:
    name = variable.op.name
    if name == 'global_step' or name.startswith(f'{model.EMA_SCOPE}/') or any(
        slot in name for slot in _SLOTS):
      continue
    for source in (f'{model.EMA_SCOPE}/{name}', name):
      if stored.get(source) == variable.shape.as_list():
        found[source] = name
        break
  if not found:
    raise errors.InputError(
        f'config key training.warm_start: no variable of {checkpoint} has the '
        'name and shape of one of this network')
  return found
