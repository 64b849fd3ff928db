"""Shows how far a training, or one long piece of work, has come."""

import sys
import time

import tensorflow as tf
import tqdm

# A log file stays readable over a day of training.
_SECONDS_BETWEEN_LINES = 30.0


def format_seconds(seconds: float) -> str:
  """Writes 3661 as 1:01:01."""
  minutes, seconds = divmod(int(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02d}:{seconds:02d}'


class ProgressHook(tf.estimator.SessionRunHook):
  """A bar on a terminal; elsewhere the first and last step, and some between.

  Args:
    total_steps: where the training ends.
    batch_size: volumes (or slices) in a step.
    unit: what a batch is made of.
    seconds_between_lines: of the plain lines.
    steps_per_run: that a run of the session trains, but for the last one.
    stream: where to write; by default standard error.
  """

  def __init__(self, total_steps: int, batch_size: int, *,
               unit: str = 'volumes',
               seconds_between_lines: float = _SECONDS_BETWEEN_LINES,
               steps_per_run: int = 1, stream=None):
    self._total_steps = total_steps
    self._batch_size = batch_size
    self._unit = unit
    self._seconds_between_lines = seconds_between_lines
    self._steps_per_run = steps_per_run
    self._stream = stream or sys.stderr
    self._loss = None
    self._bar = None
    self._first = None
    self._last_line = float('-inf')

  def watch(self, loss: tf.Tensor) -> 'ProgressHook':
    """Takes the scalar to show, else the Estimator's; returns the hook."""
    self._loss = loss
    return self

  def begin(self):
    self._global_step = tf.compat.v1.train.get_global_step()
    if self._loss is None:
      self._loss, = tf.compat.v1.get_collection(
          tf.compat.v1.GraphKeys.LOSSES)

  def after_create_session(self, session, coord):
    # Counted from here on: read beside the update that raises it, the global
    # step may be the old or the new one.
    self._step = int(session.run(self._global_step))

  def before_run(self, run_context):
    return tf.compat.v1.train.SessionRunArgs(self._loss)

  def after_run(self, run_context, run_values):
    self._step = min(self._step + self._steps_per_run, self._total_steps)
    if self._first is None:
      # The first step is left out of the rate: TensorFlow still warms up.
      self._first = (self._step, time.monotonic())
      if self._stream.isatty():
        self._bar = tqdm.tqdm(total=self._total_steps, initial=self._step,
                              unit='step', file=self._stream,
                              dynamic_ncols=True)
    self._show(run_values.results)

  def _show(self, loss):
    if self._bar is not None:
      self._bar.set_postfix_str(
          f'loss {loss:.4f}, {self._rate():.2f} {self._unit}/s', refresh=False)
      self._bar.update(self._step - self._bar.n)
      return
    now = time.monotonic()
    if (self._step >= self._total_steps
        or now - self._last_line >= self._seconds_between_lines):
      self._last_line = now
      self._write_line(loss)

  def _rate(self):
    """Volumes a second, 0 as long as it is unknown."""
    first, since = self._first
    elapsed = max(time.monotonic() - since, 1e-9)
    return (self._step - first) * self._batch_size / elapsed

  def _write_line(self, loss):
    rate = self._rate()
    pace = ''
    if rate:
      left = (self._total_steps - self._step) * self._batch_size / rate
      pace = f'  {rate:.2f} {self._unit}/s  {format_seconds(left)} left'
    self._stream.write(
        f'step {self._step}/{self._total_steps}  loss {loss:.4f}{pace}\n')
    self._stream.flush()

  def close(self) -> None:
    """Leaves the bar as it is and ends its line; may be called twice."""
    if self._bar is not None:
      self._bar.close()


class ShareProgress:
  """A bar on a terminal; elsewhere a line now and then; called with shares.

  A share that is smaller than the one before begins anew.

  Args:
    what: is being done.
    seconds_between_lines: of the plain lines.
    stream: where to write; by default standard error.
  """

  def __init__(self, what: str, *,
               seconds_between_lines: float = _SECONDS_BETWEEN_LINES,
               stream=None):
    self._what, self._stream = what, stream or sys.stderr
    self._seconds_between_lines = seconds_between_lines
    self._share, self._bar = float('inf'), None

  def __call__(self, share: float) -> None:
    """Shows that a share, above 0 to 1, of the work is done."""
    now = time.monotonic()
    if share < self._share:
      # The first piece is left out of the pace: TensorFlow still warms up.
      self._first, self._last_line = (share, now), now
      self._open()
    self._share = share
    if self._bar is not None:
      self._bar.update(share - self._bar.n)
      if share >= 1:
        self._bar.close()
    elif now - self._last_line >= self._seconds_between_lines:
      self._last_line = now
      self._write_line(now)

  def _open(self):
    if self._stream.isatty():
      self._bar = tqdm.tqdm(
          total=1.0, desc=self._what, file=self._stream, leave=False,
          dynamic_ncols=True,
          bar_format='{desc}: {percentage:3.0f}%|{bar}| {remaining} left')

  def _write_line(self, now):
    first, since = self._first
    left = ''
    if self._share > first:
      seconds = (1 - self._share) * (now - since) / (self._share - first)
      left = f'  {format_seconds(seconds)} left'
    self._stream.write(f'{self._what}  {self._share:.0%}{left}\n')
    self._stream.flush()
