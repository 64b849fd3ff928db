"""What a training's folder holds beside checkpoints and losses.

  job.json           the job, written when it starts
  eval_metrics.json  a pre-training's last evaluation, and eval_results.txt in
                     the form of google-research/bert

Written by TensorFlow's file systems, so that a TPU's folder may be in a bucket.
"""

from collections.abc import Mapping
import json
import os
from typing import Any

import tensorflow as tf

from lamb import errors

JOB_FILE = 'job.json'
METRICS_FILE = 'eval_metrics.json'
RESULTS_FILE = 'eval_results.txt'


def check_optimizer(model_dir: str, name: str) -> None:
  """Refuses to go on with another optimizer than the checkpoint's.

  Args:
    model_dir: The folder, with a checkpoint.
    name: Of the optimizer.

  Raises:
    InputError: job.json names another one, or cannot be read.
  """
  path = os.path.join(model_dir, JOB_FILE)
  if not tf.io.gfile.exists(path):
    return
  try:
    with tf.io.gfile.GFile(path) as stream:
      stored = json.loads(stream.read())['optimizer']['name']
  except (ValueError, KeyError, TypeError) as error:
    raise errors.InputError(
        f'{path}: not what the training wrote; expected it unchanged, or no '
        'such file.') from error
  if stored != name:
    raise errors.InputError(
        f'{model_dir}: trained by {stored}, got optimizer {name}; expected '
        'the same, or another folder.')


def write_job(model_dir: str, content: Mapping[str, Any]) -> None:
  """Records a job."""
  _write(os.path.join(model_dir, JOB_FILE), _json(content))


def write_metrics(model_dir: str, found: Mapping[str, float]) -> None:
  """Records an evaluation."""
  _write(os.path.join(model_dir, METRICS_FILE), _json(found))
  _write(os.path.join(model_dir, RESULTS_FILE), ''.join(
      f'{name} = {found[name]}\n' for name in sorted(found)))


def _json(content):
  return json.dumps(content, indent=2) + '\n'


def _write(path, text):
  """Writes under a temporary name first, so no crash leaves half a file."""
  tf.io.gfile.makedirs(os.path.dirname(path))
  temporary = f'{path}.{os.getpid()}.partial'
  with tf.io.gfile.GFile(temporary, 'w') as stream:
    stream.write(text)
  tf.io.gfile.rename(temporary, path, overwrite=True)
