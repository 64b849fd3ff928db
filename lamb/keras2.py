"""LAMB and LARS for Keras 2: TensorFlow 2.15's, and tf_keras on newer ones.

`tf.keras` is tf_keras on TensorFlow 2.16 and later when the user has chosen
the legacy Keras; both have the base class that is extended here.
"""

import tensorflow as tf

from lamb import keras_options
from lamb import param_filter
from lamb import tensorflow_update
from lamb import tfa_checkpoints


class _Keras2Optimizer(tfa_checkpoints.RestoresTfaCheckpoints,
                       tf.keras.optimizers.Optimizer):
  """Slots and bookkeeping of both optimizers under Keras 2."""

  def _init_keras(self, learning_rate, **arguments):
    tf.keras.optimizers.Optimizer.__init__(self, **arguments)
    self._learning_rate = self._build_learning_rate(learning_rate)
    self._waiting = []
    self._chain = tensorflow_update.UpdateChain()

  def _path(self, variable):
    return param_filter.variable_path(variable.name)

  def _index(self, variable):
    return self._index_dict[self._var_key(variable)]

  def build(self, var_list):
    """Creates the slots, named `m/<variable>` and so on.

    Args:
      var_list: All variables that will be updated.
    """
    super().build(var_list)
    if getattr(self, '_built', False):
      return
    self._built = True
    self._flags = self._resolve_exclusions(var_list)
    # Variable by variable, the order in which Adam's slots are created too.
    self._slots = [
        [self.add_variable_from_reference(variable, name)
         for name in self.slot_names] for variable in var_list]
    self._restore_waiting()

  def _apply_weight_decay(self, variables):
    """Does nothing: the decay is inside the direction, not before it."""

  def update_step(self, gradient, variable, learning_rate=None):
    """Updates one variable and its slots; called by Keras.

    Args:
      gradient: Tensor or IndexedSlices.
      variable: One of the variables of `build`.
      learning_rate: Scalar; the optimizer's own if None.
    """
    decays, adapts = self._flags_of(variable)
    self._update(
        variable, self._slots_of(variable), gradient,
        self.learning_rate if learning_rate is None else learning_rate,
        decays=decays, adapts=adapts)

  def get_config(self):
    """Returns the configuration that Keras itself keeps."""
    learning_rate = self._serialize_hyperparameter(self._learning_rate)
    if not isinstance(learning_rate, dict):
      learning_rate = float(learning_rate)
    return {**super().get_config(), 'learning_rate': learning_rate}


@tf.keras.utils.register_keras_serializable(package='lamb')
class LAMB(keras_options.LambOptions, _Keras2Optimizer):  # noqa: D101
  __doc__ = keras_options.LAMB_DOC

  def _update(self, variable, slots, gradient, learning_rate, *, decays,
              adapts):
    tensorflow_update.update_lamb(
        variable, *slots, gradient, self.iterations + 1, learning_rate,
        self._settings, decays=decays, adapts=adapts, chain=self._chain)


@tf.keras.utils.register_keras_serializable(package='lamb')
class LARS(keras_options.LarsOptions, _Keras2Optimizer):  # noqa: D101
  __doc__ = keras_options.LARS_DOC

  def _update(self, variable, slots, gradient, learning_rate, *, decays,
              adapts):
    tensorflow_update.update_lars(
        variable, *slots, gradient, learning_rate, self._settings,
        decays=decays, adapts=adapts)
