"""Shows how far a training has come."""

import sys
import time

import tensorflow as tf
import tqdm


def format_seconds(seconds: float) -> str:
  """Writes 3661 as 1:01:01."""
  minutes, seconds = divmod(int(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02d}:{seconds:02d}'


class ProgressHook(tf.estimator.SessionRunHook):
  """A bar on a terminal, plain lines elsewhere.

  Args:
    loss: scalar tensor.
    total_steps: where the training ends.
    batch_size: volumes (or slices) in a step.
    every_steps: steps between plain lines.
    stream: where to write; by default standard error.
  """

  def __init__(self, loss: tf.Tensor, total_steps: int, batch_size: int,
               every_steps: int = 50, stream=None):
    self._loss = loss
    self._total_steps = total_steps
    self._batch_size = batch_size
    self._every_steps = every_steps
    self._stream = stream or sys.stderr
    self._bar = None
    self._first = None

  def begin(self):
    self._step = tf.compat.v1.train.get_global_step()

  def before_run(self, run_context):
    return tf.compat.v1.train.SessionRunArgs([self._step, self._loss])

  def after_run(self, run_context, run_values):
    step, loss = run_values.results
    # The step is read while it is being raised: either value may arrive.
    if self._first is None:
      self._first = (step, time.monotonic())
      if self._stream.isatty():
        self._bar = tqdm.tqdm(total=self._total_steps, initial=int(step),
                              unit='step', file=self._stream,
                              dynamic_ncols=True)
      return
    if self._bar is not None:
      self._bar.set_postfix_str(f'loss {loss:.4f}, {self._rate(step):.2f} '
                                'volumes/s', refresh=False)
      self._bar.update(int(step) - self._bar.n)
    elif step % self._every_steps == 0 or step >= self._total_steps:
      self._write_line(step, loss)

  def _rate(self, step):
    done, elapsed = step - self._first[0], time.monotonic() - self._first[1]
    return done * self._batch_size / max(elapsed, 1e-9)

  def _write_line(self, step, loss):
    rate = self._rate(step)
    left = (self._total_steps - step) * self._batch_size / max(rate, 1e-9)
    self._stream.write(
        f'step {step}/{self._total_steps}  loss {loss:.4f}  '
        f'{rate:.2f} volumes/s  {format_seconds(left)} left\n')
    self._stream.flush()

  def end(self, session):
    if self._bar is not None:
      self._bar.close()
