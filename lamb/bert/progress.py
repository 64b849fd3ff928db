"""Shows how far a training has come."""

import sys
import time
from typing import Any
from typing import TextIO

import tensorflow as tf

# A log file stays readable over a day of training.
_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_UPDATES = 0.5


def format_seconds(seconds: float) -> str:
  """Writes 3661 as 1:01:01."""
  minutes, seconds = divmod(int(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02d}:{seconds:02d}'


class ProgressHook(tf.estimator.SessionRunHook):
  """One line that changes on a terminal; elsewhere a line now and then.

  Args:
    total_steps: Where the training ends, over all stages.
    stage_end: Where this part of it ends.
    batch_size: Examples in a step.
    loss: Scalar to show; None on a TPU, whose loop hides it.
    examples_after: Examples in the stages that follow, for the time left.
    stream: Where to write; by default standard error.
  """

  def __init__(self, total_steps: int, stage_end: int, batch_size: int,
               loss: tf.Tensor | None, *, examples_after: int = 0,
               stream: TextIO | None = None):
    self._total_steps, self._stage_end = total_steps, stage_end
    self._batch_size, self._loss = batch_size, loss
    self._examples_after = examples_after
    self._stream = stream or sys.stderr
    self._pause = (_SECONDS_BETWEEN_UPDATES if self._stream.isatty()
                   else _SECONDS_BETWEEN_LINES)
    self._first = None
    self._last_line = float('-inf')

  def begin(self):
    self._global_step = tf.compat.v1.train.get_global_step()

  def after_create_session(self, session: Any, coord: Any):
    self._step = int(session.run(self._global_step))

  def before_run(self, run_context: Any):
    # Beside the update that raises it, the global step may be read old or
    # new; a TPU's loop makes many steps, so it alone is asked there.
    return tf.compat.v1.train.SessionRunArgs(
        self._global_step if self._loss is None else self._loss)

  def after_run(self, run_context: Any, run_values: Any):
    if self._loss is None:
      self._step, loss = int(run_values.results), None
    else:
      self._step, loss = self._step + 1, float(run_values.results)
    now = time.monotonic()
    if self._first is None:
      # The first step is left out of the rate: TensorFlow still warms up.
      self._first = (self._step, now)
    if (self._step >= self._stage_end
        or now - self._last_line >= self._pause):
      self._last_line = now
      self._write(loss, now)

  def _write(self, loss, now):
    first, since = self._first
    line = f'step {self._step}/{self._total_steps}'
    if loss is not None:
      line += f'  loss {loss:.4f}'
    if self._step > first:
      rate = (self._step - first) * self._batch_size / (now - since)
      left = ((self._stage_end - self._step) * self._batch_size
              + self._examples_after)
      line += f'  {rate:.1f} examples/s  {format_seconds(left / rate)} left'
    last = self._step >= self._stage_end
    if self._stream.isatty():
      self._stream.write('\r' + line.ljust(79) + ('\n' if last else ''))
    else:
      self._stream.write(line + '\n')
    self._stream.flush()
