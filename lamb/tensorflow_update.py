"""Updates a TensorFlow variable by LAMB, with fused kernels where they fit.

Written op by op, LAMB passes over memory some fifteen times and is bound by
that. `ResourceApplyAdam`, TensorFlow's kernel for Adam, updates both moments
and its variable in one multi-threaded pass. It is given a scratch variable
that holds `-lambda w`, with the learning rate 1, and leaves `-r` in it
(Algorithm 2 of arXiv:1904.00962), from where the norm and the last step are
one pass each: 56 bytes moved for each parameter, against 28 for Adam itself.
"""

import types
from typing import Any

import tensorflow as tf

from lamb import hyperparameters
from lamb import update_rule

# Not public, but the only way to see that a graph is being built for XLA, that
# a variable is a plain one, whose handle the kernels take, and to ask for a
# variable without a name, which is freed after use.
from tensorflow.python.eager import context  # isort: skip
from tensorflow.python.ops import control_flow_util  # isort: skip
from tensorflow.python.ops import resource_variable_ops  # isort: skip

LambHyperparameters = hyperparameters.LambHyperparameters
LarsHyperparameters = hyperparameters.LarsHyperparameters

# The functions that `update_rule` needs, under NumPy's names.
OPS = types.SimpleNamespace(
    sqrt=tf.sqrt, abs=tf.abs, sum=tf.reduce_sum, max=tf.reduce_max,
    minimum=tf.minimum, maximum=tf.maximum, where=tf.where, equal=tf.equal,
    expm1=tf.math.expm1, cast=tf.cast)


# Smaller variables are updated side by side.
_CHAINED_ELEMENTS = 1 << 16


class UpdateChain:
  """Makes the updates of large variables wait for each other in a graph.

  TensorFlow would otherwise begin them all at once: their scratch variables
  together would be as large as the model, and nothing would be in the cache
  any more when it is read again. Each update uses all cores by itself.
  """

  def __init__(self):
    self._last = None

  def __deepcopy__(self, memo):
    # A copy of an optimizer takes no graph with it.
    return UpdateChain()

  def before(self, variable: tf.Variable) -> tf.Operation | None:
    """Returns the operation that the variable's update waits for, or None."""
    graph = tf.compat.v1.get_default_graph()
    waits = (self._last is not None and self._last.graph is graph
             and variable.shape.num_elements() >= _CHAINED_ELEMENTS)
    return self._last if waits else None

  def add(self, variable: tf.Variable, done: tf.Operation | None) -> None:
    """Appends an update; None (executing eagerly) is not appended."""
    if done is not None and (
        variable.shape.num_elements() >= _CHAINED_ELEMENTS):
      self._last = done


def compute_dtype(dtype: tf.DType) -> tf.DType:
  """Returns the type to compute in: float64 for float64, else float32."""
  return tf.float64 if tf.as_dtype(dtype) == tf.float64 else tf.float32


def update_lamb(variable: tf.Variable, m: tf.Variable, v: tf.Variable,
                gradient: Any, step: tf.Tensor, learning_rate: tf.Tensor,
                settings: LambHyperparameters, *, decays: bool, adapts: bool,
                chain: UpdateChain) -> tuple[tf.Operation | None, Any]:
  """Runs one step of Algorithm 2 on a variable and its two slots, in place.

  Args:
    variable: Weights of any floating type and shape.
    m: First moment, like `v` of the variable's shape and type.
    v: Second moment.
    gradient: Tensor or IndexedSlices; rows that slices do not mention have
      gradient 0, but are decayed and their moments fade like all others.
    step: Scalar t, 1 at the first step.
    learning_rate: Scalar.
    settings: Hyperparameters.
    decays: Whether the variable is decayed.
    adapts: Whether its step is scaled by the trust ratio.
    chain: Orders this update after those of other large variables.

  Returns:
    The operation that ends the update (None when executing eagerly), and the
    trust ratio, a scalar.
  """
  gradient = _dense(gradient, variable)
  dtype = compute_dtype(variable.dtype)
  step, learning_rate = tf.cast(step, dtype), tf.cast(learning_rate, dtype)
  if not _fits_fused_kernel(variable, m, v, gradient, settings):
    return _update_op_by_op(variable, m, v, gradient, step, learning_rate,
                            settings, decays=decays, adapts=adapts)
  with _after(chain.before(variable)):
    done, ratio = _update_fused(variable, m, v, gradient, step, learning_rate,
                                settings, decays=decays, adapts=adapts)
  chain.add(variable, done)
  return done, ratio


def update_lars(variable: tf.Variable, m: tf.Variable, gradient: Any,
                learning_rate: tf.Tensor, settings: LarsHyperparameters, *,
                decays: bool, adapts: bool) -> tf.Operation | None:
  """Runs one step of LARS, Algorithm 1, on a variable and its slot, in place.

  Args:
    variable: Weights of any floating type and shape.
    m: First moment, of the variable's shape and type.
    gradient: Tensor or IndexedSlices.
    learning_rate: Scalar.
    settings: Hyperparameters.
    decays: Whether the variable is decayed.
    adapts: Whether its step is scaled by the trust ratio.

  Returns:
    The operation that does it; None when executing eagerly.
  """
  dtype = compute_dtype(variable.dtype)
  weights, gradient, old_m, learning_rate = (
      tf.cast(each, dtype)
      for each in (variable, _dense(gradient, variable), m, learning_rate))
  decrement, new_m = update_rule.lars_update(
      weights, gradient, old_m, learning_rate, settings, decays=decays,
      adapts=adapts, ops=OPS)
  return tf.group(
      m.assign(tf.cast(new_m, m.dtype)),
      variable.assign(tf.cast(weights - decrement, variable.dtype)))


def _dense(gradient, variable):
  """Returns a gradient of slices as one tensor; repeated rows are summed."""
  if isinstance(gradient, tf.IndexedSlices):
    return tf.math.unsorted_segment_sum(
        gradient.values, gradient.indices, variable.shape[0])
  return tf.convert_to_tensor(gradient)


def _update_op_by_op(variable, m, v, gradient, step, learning_rate, settings,
                     *, decays, adapts):
  """Applies the plain rule; serves every type, option and device."""
  dtype = compute_dtype(variable.dtype)
  weights, gradient, old_m, old_v = (
      tf.cast(tensor, dtype) for tensor in (variable, gradient, m, v))
  new_m = update_rule.decay_moment(old_m, gradient, settings.beta_1)
  new_v = update_rule.decay_moment(old_v, gradient * gradient, settings.beta_2)
  direction = update_rule.lamb_direction(
      weights, gradient, new_m, new_v, step, settings, decays=decays, ops=OPS)
  ratio = update_rule.lamb_trust_ratio(
      weights, direction, settings, adapts=adapts, ops=OPS)
  decrement = (learning_rate * ratio) * direction
  done = tf.group(
      m.assign(tf.cast(new_m, m.dtype)), v.assign(tf.cast(new_v, v.dtype)),
      variable.assign(tf.cast(weights - decrement, variable.dtype)))
  return done, ratio


def _fits_fused_kernel(variable, m, v, gradient, settings):
  """Tells whether the kernel computes exactly this update."""
  plain = all(
      isinstance(each, resource_variable_ops.BaseResourceVariable)
      for each in (variable, m, v))
  # XLA fuses by itself, and Nesterov's forms need the gradient once more. The
  # kernel divides by the root alone when epsilon is 0, which gives 0 / 0.
  return (plain and variable.dtype in (tf.float32, tf.float64)
          and gradient.dtype == variable.dtype
          and settings.nesterov == 'none' and settings.epsilon > 0
          and _rounded(settings.beta_2, variable.dtype) < 1
          and not control_flow_util.GraphOrParentsInXlaContext(
              tf.compat.v1.get_default_graph()))


def _update_fused(variable, m, v, gradient, step, learning_rate, settings, *,
                  decays, adapts):
  """Applies the rule in four passes over memory; see the top of the file."""
  dtype = variable.dtype
  adam_rate, epsilon = _adam_coefficients(step, settings, dtype)
  weights = tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=dtype)
  scratch = tf.raw_ops.VarHandleOp(
      dtype=dtype, shape=variable.shape, shared_name=context.anonymous_name())
  decay = -settings.weight_decay if decays else 0.0
  filled = tf.raw_ops.AssignVariableOp(
      resource=scratch, value=tf.constant(decay, dtype) * weights)
  with _after(filled):
    moved = tf.raw_ops.ResourceApplyAdam(
        var=scratch, m=m.handle, v=v.handle, grad=gradient,
        beta1_power=tf.zeros([], dtype), beta2_power=tf.zeros([], dtype),
        lr=adam_rate, beta1=tf.constant(settings.beta_1, dtype),
        beta2=tf.constant(settings.beta_2, dtype), epsilon=epsilon)
  with _after(moved):
    negative_direction = tf.raw_ops.ReadVariableOp(
        resource=scratch, dtype=dtype)
  ratio = 1.0
  if adapts:
    ratio = update_rule.trust_ratio(
        _fast_norm(weights, settings.norm),
        _fast_norm(negative_direction, settings.norm),
        phi_min=settings.phi_min, phi_max=settings.phi_max,
        upper_bound=settings.max_trust_ratio, ops=OPS)
  # The norm of the weights must have been read before they change.
  with tf.control_dependencies([ratio] if adapts else []):
    done = tf.raw_ops.ResourceApplyGradientDescent(
        var=variable.handle, alpha=-learning_rate * ratio,
        delta=negative_direction)
  return done, ratio


def _adam_coefficients(step, settings, dtype):
  """Returns learning rate and epsilon that make Adam's kernel LAMB's r.

  The kernel computes `lr m / (sqrt(v) + epsilon)`. Its `1 - beta` is rounded
  to the variable's type, by 1e-5 for beta_2 = 0.999 in float32, so that its
  moments belong to a slightly different beta: they are divided by the bias
  that this beta leaves, and without bias correction multiplied again by the
  bias of the beta that was asked for.
  """
  scales = []
  for beta in (settings.beta_1, settings.beta_2):
    scale = 1 / update_rule.one_minus_power(_rounded(beta, dtype), step, OPS)
    if not settings.bias_correction:
      scale *= update_rule.one_minus_power(beta, step, OPS)
    scales.append(scale)
  root = tf.sqrt(scales[1])
  return scales[0] / root, tf.constant(settings.epsilon, dtype) / root


def _rounded(beta, dtype):
  """Returns the nearest number of a TensorFlow type."""
  return float(dtype.as_numpy_dtype(beta))


def _fast_norm(tensor, kind):
  """Returns the norm; `l2_loss` squares and sums in one parallel pass."""
  if kind == 'l2':
    return tf.sqrt(2 * tf.nn.l2_loss(tensor))
  return update_rule.norm(tensor, kind, OPS)


def _after(operation):
  """Orders graph operations; eager ones (None) are ordered already."""
  return tf.control_dependencies([] if operation is None else [operation])
