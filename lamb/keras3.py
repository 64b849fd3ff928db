"""LAMB and LARS for Keras 3, on its TensorFlow, JAX and torch backends.

TensorFlow is imported only where it is the backend.
"""

import keras

from lamb import keras_options
from lamb import param_filter
from lamb import update_rule

if keras.backend.backend() == 'tensorflow':
  from lamb import tensorflow_update
else:
  tensorflow_update = None


class _Keras3Optimizer(keras.optimizers.Optimizer):
  """Slots and bookkeeping of both optimizers under Keras 3."""

  def _init_keras(self, learning_rate, **arguments):
    if isinstance(learning_rate, int):
      learning_rate = float(learning_rate)
    keras.optimizers.Optimizer.__init__(
        self, learning_rate=learning_rate, **arguments)
    if tensorflow_update is not None:
      self._chain = tensorflow_update.UpdateChain()

  def _path(self, variable):
    # A plain tf.Variable has no path, only a name.
    return param_filter.variable_path(
        getattr(variable, 'path', None) or variable.name)

  def _index(self, variable):
    return self._get_variable_index(variable)

  def build(self, variables):
    """Creates the slots, named `<variable>_m` and so on.

    Args:
      variables: All variables that will be updated.
    """
    if self.built:
      return
    # Exclusions are resolved here: `update_step` gets a raw tf.Variable, which
    # does not know its path.
    flags = self._resolve_exclusions(variables)
    super().build(variables)
    self._flags = flags
    self._slots = [
        [self.add_variable_from_reference(variable, name)
         for name in self.slot_names] for variable in variables]

  def _apply_weight_decay(self, variables):
    """Does nothing: the decay is inside the direction, not before it."""

  def update_step(self, gradient, variable, learning_rate=None):
    """Updates one variable and its slots; called by Keras.

    Args:
      gradient: Tensor of the backend.
      variable: One of the variables of `build`, or what the backend holds in
        its place.
      learning_rate: Scalar; the optimizer's own if None.
    """
    decays, adapts = self._flags_of(variable)
    self._update(
        variable, self._slots_of(variable), gradient,
        self.learning_rate if learning_rate is None else learning_rate,
        decays=decays, adapts=adapts)

  def _apply_rule(self, rule, variable, slots, gradient, *scalars, **flags):
    """Applies a rule by Keras' own operations, in at least float32."""
    dtype = _compute_dtype(variable.dtype)
    arrays = [keras.ops.cast(keras.ops.convert_to_tensor(each), dtype)
              for each in (variable, gradient, *slots, *scalars)]
    decrement, *values = rule(*arrays, self._settings, ops=keras.ops, **flags)
    for slot, value in zip(slots, values):
      self.assign(slot, keras.ops.cast(value, slot.dtype))
    self.assign(
        variable, keras.ops.cast(arrays[0] - decrement, variable.dtype))


def _compute_dtype(dtype):
  """Returns the type to compute in: float64 for float64, else float32."""
  standard = keras.backend.standardize_dtype(dtype)
  return 'float64' if standard == 'float64' else 'float32'


def _tensorflow_variables(variables):
  """Returns the tf.Variables inside Keras' variables."""
  return [each.value if isinstance(each, keras.Variable) else each
          for each in variables]


@keras.saving.register_keras_serializable(package='lamb')
class LAMB(keras_options.LambOptions, _Keras3Optimizer):  # noqa: D101
  __doc__ = keras_options.LAMB_DOC

  def _update(self, variable, slots, gradient, learning_rate, **flags):
    step = self.iterations + 1
    if tensorflow_update is None:
      self._apply_rule(update_rule.lamb_update, variable, slots, gradient,
                       step, learning_rate, **flags)
    else:
      tensorflow_update.update_lamb(
          *_tensorflow_variables([variable, *slots]), gradient, step,
          learning_rate, self._settings, chain=self._chain, **flags)


@keras.saving.register_keras_serializable(package='lamb')
class LARS(keras_options.LarsOptions, _Keras3Optimizer):  # noqa: D101
  __doc__ = keras_options.LARS_DOC

  def _update(self, variable, slots, gradient, learning_rate, **flags):
    if tensorflow_update is None:
      self._apply_rule(update_rule.lars_update, variable, slots, gradient,
                       learning_rate, **flags)
    else:
      tensorflow_update.update_lars(
          *_tensorflow_variables([variable, *slots]), gradient,
          learning_rate, self._settings, **flags)
