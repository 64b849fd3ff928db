"""A Keras callback that writes LAMB's trust ratios to TensorBoard.

For Estimator jobs see `lamb.estimator.TrustRatioHook`.
"""

from typing import Any

from lamb import keras_face

if keras_face.is_keras3():
  import keras
else:
  import tensorflow
  keras = tensorflow.keras


class TrustRatioLogger(keras.callbacks.Callback):
  """Writes the trust ratio of each adapted layer, as `trust_ratio/<path>`.

  The ratio is computed again in NumPy from the weights before and the moments
  after a step, so that the optimizer itself need not keep it. Only the steps
  that are written cost anything, a copy of the weights and first moments.

  Attributes:
    ratios: The last ratios written, by the path of the variable.
  """

  def __init__(self, log_dir: str | None, every_steps: int = 100):
    """Keeps the arguments.

    Args:
      log_dir: Folder of the event file, which needs TensorFlow; None to keep
        the ratios in `ratios` only.
      every_steps: Steps between two records. A record is exact only if one
        call of the training function makes one update, not with Keras'
        `steps_per_execution` or `gradient_accumulation_steps`.
    """
    super().__init__()
    self._log_dir = log_dir
    self._every_steps = every_steps
    self._seen = 0
    self._before = None
    self._writer = None
    self.ratios = {}

  def on_train_begin(self, logs: Any = None) -> None:
    """Opens the event file."""
    if self._log_dir is not None:
      from tensorflow import summary
      self._writer = summary.create_file_writer(self._log_dir)

  def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
    """Copies weights and first moments where a record is due."""
    due = self._seen % self._every_steps == 0
    self._before = self._lamb().copy_for_trust_ratios(
        self.model.trainable_variables) if due else None

  def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
    """Writes the ratios of the step that has just been made."""
    if self._before is not None:
      self.ratios = self._lamb().trust_ratios(
          self.model.trainable_variables, self._before)
      self._write()
    self._seen += 1

  def on_train_end(self, logs: Any = None) -> None:
    """Closes the event file."""
    if self._writer is not None:
      self._writer.close()

  def _write(self):
    """Writes the ratios, if there is an event file."""
    if self._writer is None:
      return
    from tensorflow import summary
    with self._writer.as_default(step=self._seen):
      for path, ratio in self.ratios.items():
        summary.scalar(f'trust_ratio/{path}', ratio)

  def _lamb(self):
    """Returns the LAMB inside the model's optimizer."""
    return getattr(self.model.optimizer, 'inner_optimizer',
                   self.model.optimizer)
