"""The plain schedules of `lamb.schedules` as Keras schedules."""

from lamb import keras_face
from lamb import schedules

if keras_face.is_keras3():
  import keras
  _convert = keras.ops.convert_to_tensor
  _OPS = keras.ops
else:
  import tensorflow as tf

  from lamb import tensorflow_update
  keras = tf.keras
  _convert = tf.convert_to_tensor
  _OPS = tensorflow_update.OPS


@keras.utils.register_keras_serializable(package='lamb')
class WarmupPolynomialDecay(
    keras.optimizers.schedules.LearningRateSchedule):
  """Follows `schedules.warmup_polynomial_decay`, step by step.

  Args:
    learning_rate: Peak of the learning rate.
    warmup_steps: Steps of linear warmup.
    total_steps: Step at which the learning rate is 0.
    power: Power of the decay.
    form: `bert`, with its jump, or `triangle`.
    first_step: What the optimizer's step 0 is counted as; 1 avoids a first
      update with the learning rate 0.
  """

  def __init__(self, learning_rate: float, warmup_steps: int,
               total_steps: int, power: float = 1.0, form: str = 'bert',
               first_step: int = 0):
    super().__init__()
    schedules.check(learning_rate, warmup_steps, total_steps, power, form)
    self._arguments = {
        'learning_rate': learning_rate, 'warmup_steps': warmup_steps,
        'total_steps': total_steps, 'power': power, 'form': form}
    self._first_step = first_step

  def __call__(self, step):
    """Returns the learning rate, a float32 scalar, at an optimizer's step."""
    step = _OPS.cast(_convert(step), 'float32') + float(self._first_step)
    return schedules.warmup_polynomial_decay(
        step, ops=_OPS, **self._arguments)

  def get_config(self):
    """Returns the constructor's arguments."""
    return {**self._arguments, 'first_step': self._first_step}
