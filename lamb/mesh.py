"""LAMB for Mesh-TensorFlow.

The norms are reductions over the whole tensor, which Mesh-TensorFlow turns
into sums over the devices that hold its parts: the update does not depend on
the layout. Variables that `mtf.rewrite_stack_variables` stacks would share a
trust ratio; do not stack them.
"""

from collections.abc import Sequence
import types
from typing import Any

import tensorflow.compat.v1 as tf

from lamb import hyperparameters
from lamb import mesh_tensorflow_import
from lamb import update_rule

mtf = mesh_tensorflow_import.mtf


class LambOptimizer(mtf.optimize.Optimizer):
  """Updates variables by LAMB, Algorithm 2 of arXiv:1904.00962."""

  def __init__(self, learning_rate: Any, beta_1: float = 0.9,
               beta_2: float = 0.999, epsilon: float = 1e-6,
               weight_decay: float = 0.01, bias_correction: bool = True,
               exclude_from_weight_decay: Sequence[str] | None = None,
               exclude_from_layer_adaptation: Sequence[str] | None = None,
               norm: str = 'l2', phi_min: float = 0.0,
               phi_max: float | None = None,
               max_trust_ratio: float | None = None, nesterov: str = 'none',
               global_step: Any = None):
    """Checks and keeps the settings.

    Args:
      learning_rate: Number, TensorFlow scalar or scalar mtf.Tensor.
      beta_1: See `hyperparameters.LambHyperparameters`, as for all that is
        not named here.
      beta_2: See there.
      epsilon: See there.
      weight_decay: See there.
      bias_correction: See there.
      exclude_from_weight_decay: Regular expressions searched for in the
        variables' names.
      exclude_from_layer_adaptation: The same for the trust ratio; None means
        "as the list before".
      norm: See there.
      phi_min: See there.
      phi_max: See there.
      max_trust_ratio: See there.
      nesterov: See there.
      global_step: TensorFlow scalar, 0 at the first step; the graph's global
        step if None.

    Raises:
      InputError: A setting is out of its range.
    """
    self._learning_rate = learning_rate
    self._global_step = global_step
    self._settings = hyperparameters.LambHyperparameters(
        beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
        weight_decay=weight_decay, bias_correction=bias_correction,
        exclude_from_weight_decay=exclude_from_weight_decay,
        exclude_from_layer_adaptation=exclude_from_layer_adaptation,
        norm=norm, phi_min=phi_min, phi_max=phi_max,
        max_trust_ratio=max_trust_ratio, nesterov=nesterov)

  def apply_grads(self, grads: list[Any], variables: list[Any]) -> list[Any]:
    """Returns the operations that update all variables.

    Args:
      grads: mtf.Tensor of each variable, or None where it has no gradient.
      variables: mtf.Variables.
    """
    self._settings.warn_unmatched([variable.name for variable in variables])
    return super().apply_grads(grads, variables)

  def apply_grad(self, grad: Any, var: Any) -> list[Any]:
    """Returns the operations that update one variable and its moments.

    Args:
      grad: mtf.Tensor of the variable's shape, or None.
      var: mtf.Variable.
    """
    if grad is None:
      return []
    m, v = (
        mtf.get_variable(
            var.mesh, f'{var.name}/{slot}', var.shape, dtype=tf.float32,
            initializer=tf.zeros_initializer(), trainable=False)
        for slot in ('adam_m', 'adam_v'))
    decrement, new_m, new_v = update_rule.lamb_update(
        mtf.to_float(var.value), mtf.to_float(grad), m, v,
        self._step(), self._rate(var.mesh), self._settings,
        decays=self._settings.decays(var.name),
        adapts=self._settings.adapts(var.name), ops=_ops(var.mesh))
    return [mtf.assign_sub(var, decrement), mtf.assign(m, new_m),
            mtf.assign(v, new_v)]

  def _step(self):
    """Returns t, a float32 TensorFlow scalar, 1 at the first step."""
    step = self._global_step
    if step is None:
      step = tf.train.get_or_create_global_step()
    return tf.cast(step, tf.float32) + 1

  def _rate(self, mesh):
    """Returns the learning rate as a scalar mtf.Tensor."""
    if isinstance(self._learning_rate, mtf.Tensor):
      return mtf.to_float(self._learning_rate)
    return mtf.import_tf_tensor(
        mesh, tf.cast(self._learning_rate, tf.float32), mtf.Shape([]))


def _ops(mesh):
  """Returns the functions that `update_rule` needs, for one mesh.

  The step is a TensorFlow scalar, and enters the mesh through `expm1`.
  """
  return types.SimpleNamespace(
      sqrt=mtf.sqrt, abs=lambda x: mtf.maximum(x, -x), sum=mtf.reduce_sum,
      max=mtf.reduce_max, minimum=mtf.minimum, maximum=mtf.maximum,
      where=mtf.where, equal=mtf.equal,
      expm1=lambda x: mtf.import_tf_tensor(
          mesh, tf.math.expm1(x), mtf.Shape([])))
