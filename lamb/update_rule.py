"""LAMB and LARS as pure functions of arrays (arXiv:1904.00962).

Nothing here knows a framework: the argument `ops` supplies `sqrt`, `abs`,
`sum`, `max`, `minimum`, `maximum`, `equal`, `where` and `expm1`. `numpy` and
`keras.ops` are such namespaces as they are. Everything is computed in the
precision of the arrays that come in; callers pass at least float32, since the
norms of half-precision weights overflow.

Symbols of the paper: w weights, g gradient, m and v moments, r direction,
t step counted from 1, lambda weight decay, phi the clipped norm of the
weights.
"""

import math
from typing import Any

from lamb import hyperparameters

Array = Any
LambHyperparameters = hyperparameters.LambHyperparameters
LarsHyperparameters = hyperparameters.LarsHyperparameters


def decay_moment(moment: Array, value: Array, beta: float) -> Array:
  """Returns `beta moment + (1 - beta) value`, Algorithm 2, lines m_t, v_t."""
  return beta * moment + (1 - beta) * value


def one_minus_power(beta: float, step: Array, ops: Any) -> Array:
  """Returns `1 - beta^t`, the bias of a moment after t steps.

  Computed as `-expm1(t log(beta))`: in float32 the plain form is wrong by
  1e-5 for beta_2 = 0.999 and small t.

  Args:
    beta: Decay of the moment, in [0, 1).
    step: Scalar t of the arrays' type, 1 at the first step.
    ops: Namespace of array functions.
  """
  return -ops.expm1(step * (math.log(beta) if beta else -math.inf))


def corrected_moment(moment: Array, value: Array, beta: float, step: Array, *,
                     bias_correction: bool, nesterov: bool,
                     ops: Any) -> Array:
  """Returns the moment as it enters the direction.

  With bias correction `moment / (1 - beta^t)` (Algorithm 2, lines m^ and v^),
  else the moment itself. Nesterov's form is our reading, after Nadam, of
  equations that were not available:
  `beta moment / (1 - beta^(t+1)) + (1 - beta) value / (1 - beta^t)`.

  Args:
    moment: m_t or v_t, already updated.
    value: What the moment averages: g_t or its square.
    beta: Decay of the moment.
    step: Scalar t, 1 at the first step.
    bias_correction: Whether to divide by `1 - beta^t`.
    nesterov: Whether to look one step ahead.
    ops: Namespace of array functions.
  """
  bias, next_bias = 1.0, 1.0
  if bias_correction:
    bias = one_minus_power(beta, step, ops)
    next_bias = one_minus_power(beta, step + 1, ops)
  if nesterov:
    return (beta / next_bias) * moment + ((1 - beta) / bias) * value
  return moment / bias if bias_correction else moment


def lamb_direction(weights: Array, gradient: Array, m: Array, v: Array,
                   step: Array, settings: LambHyperparameters, *,
                   decays: bool, ops: Any) -> Array:
  """Returns `r = m^ / (sqrt(v^) + epsilon) + lambda w`, Algorithm 2.

  With epsilon 0 an element whose second moment is 0 has direction 0.

  Args:
    weights: w, any shape.
    gradient: g, of the same shape.
    m: First moment, already updated.
    v: Second moment, already updated.
    step: Scalar t of the arrays' type, 1 at the first step.
    settings: Hyperparameters.
    decays: Whether the variable is decayed.
    ops: Namespace of array functions.
  """
  m_hat = corrected_moment(
      m, gradient, settings.beta_1, step, ops=ops,
      bias_correction=settings.bias_correction,
      nesterov=settings.nesterov != 'none')
  v_hat = corrected_moment(
      v, gradient * gradient, settings.beta_2, step, ops=ops,
      bias_correction=settings.bias_correction,
      nesterov=settings.nesterov == 'both')
  root = ops.sqrt(v_hat)
  if settings.epsilon == 0:
    at_rest = ops.equal(root, 0)
    direction = ops.where(
        at_rest, m_hat * 0, m_hat / ops.where(at_rest, root + 1, root))
  else:
    direction = m_hat / (root + settings.epsilon)
  return direction + settings.weight_decay * weights if decays else direction


def norm(array: Array, kind: str, ops: Any) -> Array:
  """Returns the l1, l2 or linf norm over all elements, a scalar."""
  if kind == 'l1':
    return ops.sum(ops.abs(array))
  if kind == 'linf':
    return ops.max(ops.abs(array))
  return ops.sqrt(ops.sum(array * array))


def trust_ratio(weight_norm: Array, direction_norm: Array, *, phi_min: float,
                phi_max: float | None, upper_bound: float | None = None,
                ops: Any) -> Array:
  """Returns `phi(||w||) / ||r||`, and 1 where either norm is 0.

  `phi(z) = min(max(z, phi_min), phi_max)` is the theory's; the authors' code
  has the identity. A norm that is not finite is passed on, not hidden.

  Args:
    weight_norm: Scalar `||w||`.
    direction_norm: Scalar `||r||`.
    phi_min: Lower bound of phi.
    phi_max: Upper bound of phi, or None.
    upper_bound: Largest ratio (10 in the paper's first version), or None.
    ops: Namespace of array functions.
  """
  phi = weight_norm
  if phi_min > 0:
    phi = ops.maximum(phi, phi_min)
  if phi_max is not None:
    phi = ops.minimum(phi, phi_max)
  no_direction = ops.equal(direction_norm, 0)
  ratio = phi / ops.where(no_direction, direction_norm + 1, direction_norm)
  ratio = ops.where(no_direction, direction_norm + 1, ratio)
  ratio = ops.where(ops.equal(weight_norm, 0), weight_norm + 1, ratio)
  return ratio if upper_bound is None else ops.minimum(ratio, upper_bound)


def lamb_trust_ratio(weights: Array, direction: Array,
                     settings: LambHyperparameters, *, adapts: bool,
                     ops: Any) -> Array | float:
  """Returns the trust ratio of a variable; 1.0 if it is not adapted."""
  if not adapts:
    return 1.0
  return trust_ratio(
      norm(weights, settings.norm, ops), norm(direction, settings.norm, ops),
      phi_min=settings.phi_min, phi_max=settings.phi_max,
      upper_bound=settings.max_trust_ratio, ops=ops)


def lamb_update(weights: Array, gradient: Array, m: Array, v: Array,
                step: Array, learning_rate: Array,
                settings: LambHyperparameters, *, decays: bool, adapts: bool,
                ops: Any) -> tuple[Array, Array, Array]:
  """Runs one step of Algorithm 2 for one variable.

  Args:
    weights: w, any shape, at least float32.
    gradient: g, like all arrays of the weights' shape and type.
    m: First moment, 0 before the first step.
    v: Second moment, 0 before the first step.
    step: Scalar t of the same type, 1 at the first step.
    learning_rate: Scalar of the same type.
    settings: Hyperparameters.
    decays: Whether the variable is decayed.
    adapts: Whether its step is scaled by the trust ratio.
    ops: Namespace of array functions.

  Returns:
    The decrement of the weights and the new m and v.
  """
  m = decay_moment(m, gradient, settings.beta_1)
  v = decay_moment(v, gradient * gradient, settings.beta_2)
  direction = lamb_direction(
      weights, gradient, m, v, step, settings, decays=decays, ops=ops)
  ratio = lamb_trust_ratio(
      weights, direction, settings, adapts=adapts, ops=ops)
  return (learning_rate * ratio) * direction, m, v


def lars_update(weights: Array, gradient: Array, m: Array,
                learning_rate: Array, settings: LarsHyperparameters, *,
                decays: bool, adapts: bool, ops: Any) -> tuple[Array, Array]:
  """Runs one step of LARS for one variable.

  Algorithm 1: `m = beta_1 m + (1 - beta_1)(g + lambda w)` and
  `w -= lr phi(||w||) / ||m|| m`. With a trust coefficient eta, the older form:
  `m = beta_1 m + lr ratio (g + lambda w)` and `w -= m`, where
  `ratio = eta phi(||w||) / (||g|| + lambda ||w||)`.

  Args:
    weights: w, any shape, at least float32.
    gradient: g, like m of the weights' shape and type.
    m: First moment, 0 before the first step.
    learning_rate: Scalar of the same type.
    settings: Hyperparameters.
    decays: Whether the variable is decayed.
    adapts: Whether its step is scaled by the trust ratio.
    ops: Namespace of array functions.

  Returns:
    The decrement of the weights and the new m.
  """
  weight_decay = settings.weight_decay if decays else 0.0
  decayed = gradient + weight_decay * weights if decays else gradient
  eta = settings.trust_coefficient
  if eta is None:
    m = decay_moment(m, decayed, settings.beta_1)
  ratio = 1.0
  if adapts:
    weight_norm = norm(weights, settings.norm, ops)
    step_norm = norm(m if eta is None else gradient, settings.norm, ops)
    if eta is not None:
      step_norm = (step_norm + weight_decay * weight_norm) / eta
    ratio = trust_ratio(weight_norm, step_norm, phi_min=settings.phi_min,
                        phi_max=settings.phi_max, ops=ops)
  if eta is None:
    return (learning_rate * ratio) * m, m
  m = settings.beta_1 * m + (learning_rate * ratio) * decayed
  return m, m
