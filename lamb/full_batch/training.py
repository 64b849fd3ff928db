"""Trains a classifier on a large batch, or all of the data, at each step.

The gradient of a batch is the sum over slices, so that memory stays flat. An
interrupted run goes on from its last checkpoint to the same result.
"""

from collections.abc import Callable
import dataclasses
import json
import pathlib
import time
from typing import Any

import numpy as np
import tensorflow as tf

from lamb import atomic_file
from lamb import errors
from lamb.full_batch import idx_files

_EVALUATION_SLICE = 1000


@dataclasses.dataclass(frozen=True)
class FullBatchJob:
  """What a run needs besides model and optimizer.

  Attributes:
    steps: Updates in all.
    slice_size: Images in memory at a time.
    dropout: Share of hidden units dropped.
    seed: Seed of the dropout.
    evaluate_every: Steps between evaluations; the last is always evaluated.
    batch_size: Images of an update; None for all. In each epoch they are dealt
      out anew, and those that fill no batch are left out.
    save_every: Steps between checkpoints and lines of progress.
  """

  steps: int
  slice_size: int
  dropout: float = 0.0
  seed: int = 0
  evaluate_every: int = 1
  batch_size: int | None = None
  save_every: int = 1

  def batch(self, digits: idx_files.Digits, step: int) -> idx_files.Digits:
    """Returns the digits of a step, counted from 1.

    Raises:
      InputError: There are fewer digits than a batch has.
    """
    if self.batch_size is None:
      return digits
    batches = len(digits.labels) // self.batch_size
    if not batches:
      raise errors.InputError(
          f'batch_size: got {self.batch_size}, expected at most the '
          f'{len(digits.labels)} training images.')
    epoch, number = divmod(step - 1, batches)
    order = np.random.default_rng((self.seed, epoch)).permutation(
        len(digits.labels))
    chosen = order[number * self.batch_size:(number + 1) * self.batch_size]
    return idx_files.Digits(digits.images[chosen], digits.labels[chosen])


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
    """Runs one update.

    Args:
      digits: Those of the batch.
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
    history['loss'].append(trainer.step(job.batch(training, step), step))
    history['seconds'].append(time.monotonic() - started)
    line = (f'step {step}/{job.steps}  loss {history["loss"][-1]:.4f}  '
            f'{history["seconds"][-1]:.1f} s')
    if step % job.evaluate_every == 0 or step == job.steps:
      history['accuracy'].append([step, trainer.accuracy(test)])
      line += f'  test accuracy {history["accuracy"][-1][1]:.4f}'
    if step % job.save_every == 0 or step == job.steps:
      report(line)
      done.assign(step)
      atomic_file.write_json(path, history)
      manager.save()
  return history


def _to_float(images: np.ndarray | tf.Tensor) -> tf.Tensor:
  """Scales bytes `[batch, height, width]` to `[batch, height, width, 1]`."""
  return tf.cast(images, tf.float32)[..., tf.newaxis] / 255.0
