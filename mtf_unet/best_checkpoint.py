"""The checkpoint of the best score: best/ in the model folder, metrics.json."""

import json
import os
import shutil

import tensorflow as tf

from mtf_unet import atomic_file
from mtf_unet import checkpoints
from mtf_unet import errors

_METRICS_FILE = 'metrics.json'


class BestCheckpoint:
  """Keeps a copy of the checkpoint with the highest score.

  Args:
    model_dir: the job's folder; the copy lies in its sub-folder best/.
  """

  def __init__(self, model_dir: str):
    self._folder = os.path.join(model_dir, checkpoints.BEST_FOLDER)
    self._fresh = self._folder + '.new'
    # Stopped between the two renames of `offer`: the metrics come last, so
    # a copy that has them is whole.
    if not os.path.exists(self._folder) and os.path.exists(
        os.path.join(self._fresh, _METRICS_FILE)):
      os.replace(self._fresh, self._folder)

  @property
  def score(self) -> float:
    """The score of the copy, minus infinity without one."""
    try:
      with open(os.path.join(self._folder, _METRICS_FILE),
                encoding='utf-8') as file:
        return float(json.load(file)['score'])
    except (FileNotFoundError, ValueError, KeyError):
      return float('-inf')

  def offer(self, checkpoint: str, score: float) -> bool:
    """Copies the checkpoint if its score beats the copy's; says whether.

    Raises:
      InputError: if the copy cannot be written; the older one is still there.
    """
    if not score > self.score:
      return False
    shutil.rmtree(self._fresh, ignore_errors=True)
    try:
      self._copy(checkpoint, score)
    except OSError as error:
      shutil.rmtree(self._fresh, ignore_errors=True)
      raise errors.InputError(
          f'{self._folder}: the best checkpoint could not be copied '
          f'({error}); make space, then start the same command again'
      ) from error
    shutil.rmtree(self._folder, ignore_errors=True)
    os.replace(self._fresh, self._folder)
    return True

  def _copy(self, checkpoint, score):
    os.makedirs(self._fresh)
    for path in tf.io.gfile.glob(checkpoint + '.*'):
      shutil.copy(path, self._fresh)
    checkpoints.write_list(self._fresh)
    atomic_file.write_json(
        os.path.join(self._fresh, _METRICS_FILE),
        {'score': score, 'step': checkpoints.step_of(checkpoint)})
