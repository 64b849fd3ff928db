"""LARS for TPUEstimator jobs: LAMB's predecessor, to compare with.

A `tf.compat.v1.train.Optimizer` like `lamb.estimator.LambOptimizer`.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from lamb import hyperparameters
from lamb import param_filter
from lamb import tensorflow_update

_SLOT = 'momentum'


class LarsOptimizer(tf.compat.v1.train.Optimizer):
  """Updates variables by LARS, Algorithm 1 of arXiv:1904.00962."""

  def __init__(self, learning_rate: Any, beta_1: float = 0.9,
               weight_decay: float = 0.01,
               trust_coefficient: float | None = None,
               exclude_from_weight_decay: Sequence[str] | None = None,
               exclude_from_layer_adaptation: Sequence[str] | None = None,
               use_locking: bool = False, name: str = 'LARS'):
    """Checks and keeps the settings.

    Args:
      learning_rate: Number, scalar tensor, or callable that returns one.
      beta_1: See `hyperparameters.LarsHyperparameters`, as for the rest.
      weight_decay: See there.
      trust_coefficient: See there.
      exclude_from_weight_decay: Regular expressions of variables' names.
      exclude_from_layer_adaptation: The same for the trust ratio; None means
        "as the list before".
      use_locking: As in every TensorFlow optimizer.
      name: Name of the operations.

    Raises:
      InputError: A setting is out of its range.
    """
    super().__init__(use_locking, name)
    self._learning_rate = learning_rate
    self._settings = hyperparameters.LarsHyperparameters(
        beta_1=beta_1, weight_decay=weight_decay,
        trust_coefficient=trust_coefficient,
        exclude_from_weight_decay=exclude_from_weight_decay,
        exclude_from_layer_adaptation=exclude_from_layer_adaptation)

  def _create_slots(self, var_list):
    for variable in var_list:
      self._zeros_slot(variable, _SLOT, _SLOT)

  def _prepare(self):
    self._rate = tf.convert_to_tensor(
        self._call_if_callable(self._learning_rate))

  def _apply_dense(self, grad, var):
    path = param_filter.variable_path(var.name)
    return tensorflow_update.update_lars(
        var, self.get_slot(var, _SLOT), grad, self._rate, self._settings,
        decays=self._settings.decays(path), adapts=self._settings.adapts(path))

  def _resource_apply_dense(self, grad, handle):
    return self._apply_dense(grad, handle)

  def _apply_sparse(self, grad, var):
    return self._apply_dense(grad, var)

  def _resource_apply_sparse(self, grad, handle, indices):
    return self._apply_dense(tf.IndexedSlices(grad, indices), handle)
