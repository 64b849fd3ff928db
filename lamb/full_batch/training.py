"""Trains a classifier on the whole data set at each step.

The gradient of the full batch is the sum over slices, so that memory stays
flat. After each step a checkpoint is written, from which an interrupted run
goes on to the same result.
"""

from collections.abc import Callable
import dataclasses
import json
import pathlib
import time
from typing import Any

import numpy as np
import tensorflow as tf

from lamb.full_batch import idx_files

_EVALUATION_SLICE = 1000


@dataclasses.dataclass(frozen=True)
class FullBatchJob:
  """What a run needs besides model and optimizer.

  Attributes:
    steps: Updates in all; each sees all training images.
    slice_size: Images in memory at a time.
    dropout: Share of hidden units dropped.
    seed: Seed of the dropout.
    evaluate_every: Steps between evaluations; the last is always evaluated.
  """

  steps: int
  slice_size: int
  dropout: float = 0.0
  seed: int = 0
  evaluate_every: int = 1


class FullBatchTrainer:
  """Owns the compiled steps of one model with one optimizer."""

  def __init__(self, model: Any, optimizer: Any, job: FullBatchJob):
    """Connects model and optimizer.

    Args:
      model: Callable `(images, dropout, seed) -> logits` with
        `variables_in_order`.
      optimizer: A Keras optimizer.
      job: Sizes and seeds.
    """
    self._model, self._optimizer, self._job = model, optimizer, job
    self._variables = model.variables_in_order
    optimizer.build(self._variables)
    self._sums = [tf.Variable(tf.zeros_like(variable), trainable=False)
                  for variable in self._variables]

  @tf.function(reduce_retracing=True)
  def _add_slice(self, images, labels, seed):
    """Adds the gradient of the summed loss of a slice; returns that loss."""
    with tf.GradientTape() as tape:
      logits = self._model(_to_float(images), self._job.dropout, seed)
      loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(
          tf.cast(labels, tf.int32), logits))
    gradients = tape.gradient(loss, self._variables)
    for total, gradient in zip(self._sums, gradients):
      total.assign_add(gradient)
    return loss

  @tf.function
  def _apply(self, count):
    """Updates by the mean gradient and clears the sums."""
    self._optimizer.apply_gradients(
        [(total / count, variable)
         for total, variable in zip(self._sums, self._variables)])
    for total in self._sums:
      total.assign(tf.zeros_like(total))

  @tf.function(reduce_retracing=True)
  def _count_correct(self, images, labels):
    guesses = tf.argmax(self._model(_to_float(images)), axis=-1)
    return tf.reduce_sum(tf.cast(guesses == tf.cast(labels, tf.int64),
                                 tf.int32))

  def step(self, digits: idx_files.Digits, step: int) -> float:
    """Runs one update on all digits.

    Args:
      digits: Training digits.
      step: Number of the step, for the seeds of the dropout.

    Returns:
      The mean loss, in nats, before the update.
    """
    loss, size = 0.0, self._job.slice_size
    for start in range(0, len(digits.labels), size):
      loss += float(self._add_slice(
          digits.images[start:start + size], digits.labels[start:start + size],
          tf.constant([self._job.seed, step * len(digits.labels) + start])))
    self._apply(tf.constant(float(len(digits.labels))))
    return loss / len(digits.labels)

  def accuracy(self, digits: idx_files.Digits) -> float:
    """Returns the share of digits that are recognised, in [0, 1]."""
    correct = 0
    for start in range(0, len(digits.labels), _EVALUATION_SLICE):
      stop = start + _EVALUATION_SLICE
      correct += int(self._count_correct(
          digits.images[start:stop], digits.labels[start:stop]))
    return correct / len(digits.labels)


def train(model: Any, optimizer: Any, training: idx_files.Digits,
          test: idx_files.Digits, job: FullBatchJob, folder: str,
          report: Callable[[str], None] = print) -> dict[str, Any]:
  """Trains, going on where an earlier call in the same folder stopped.

  Args:
    model: See `FullBatchTrainer`.
    optimizer: A Keras optimizer, not built yet.
    training: Training digits.
    test: Test digits.
    job: Sizes and seeds.
    folder: Where checkpoints and `history.json` are written.
    report: Shows one line of progress.

  Returns:
    History: `step`, `loss`, `seconds` by step, and `accuracy`, a list of
    `[step, test accuracy]`.
  """
  trainer = FullBatchTrainer(model, optimizer, job)
  done = tf.Variable(0, dtype=tf.int64)
  manager = tf.train.CheckpointManager(
      tf.train.Checkpoint(
          variables=model.variables_in_order, optimizer=optimizer, done=done),
      folder, max_to_keep=1)
  path = pathlib.Path(folder) / 'history.json'
  history = {'loss': [], 'seconds': [], 'accuracy': []}
  if manager.restore_or_initialize():
    kept = json.loads(path.read_text(encoding='utf-8'))
    # A run may stop between the history and the checkpoint of one step.
    last = int(done)
    history = {
        'loss': kept['loss'][:last], 'seconds': kept['seconds'][:last],
        'accuracy': [each for each in kept['accuracy'] if each[0] <= last]}
  for step in range(int(done) + 1, job.steps + 1):
    started = time.monotonic()
    history['loss'].append(trainer.step(training, step))
    history['seconds'].append(time.monotonic() - started)
    line = (f'step {step}/{job.steps}  loss {history["loss"][-1]:.4f}  '
            f'{history["seconds"][-1]:.1f} s')
    if step % job.evaluate_every == 0 or step == job.steps:
      history['accuracy'].append([step, trainer.accuracy(test)])
      line += f'  test accuracy {history["accuracy"][-1][1]:.4f}'
    report(line)
    done.assign(step)
    path.write_text(json.dumps(history), encoding='utf-8')
    manager.save()
  return history


def _to_float(images: np.ndarray | tf.Tensor) -> tf.Tensor:
  """Scales bytes `[batch, height, width]` to `[batch, height, width, 1]`."""
  return tf.cast(images, tf.float32)[..., tf.newaxis] / 255.0
