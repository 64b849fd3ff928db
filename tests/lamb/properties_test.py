"""Properties of the rule, on random tensors (hypothesis)."""

import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as numpy_strategies
import numpy as np

from lamb import hyperparameters
from lamb import update_rule

_ELEMENTS = strategies.floats(-10, 10).filter(lambda x: abs(x) > 1e-3)
_TENSORS = numpy_strategies.arrays(np.float64, (2, 3), elements=_ELEMENTS)
_STEPS = strategies.lists(_TENSORS, min_size=1, max_size=4)


def _steps(weights, gradients, *, adapts=True, decays=True, **options):
  """Returns the decrement of each step; the weights stay as they are."""
  settings = hyperparameters.LambHyperparameters(**options)
  m, v = np.zeros_like(weights), np.zeros_like(weights)
  decrements = []
  for t, gradient in enumerate(gradients, start=1):
    decrement, m, v = update_rule.lamb_update(
        weights, gradient, m, v, float(t), 0.1, settings, decays=decays,
        adapts=adapts, ops=np)
    decrements.append(decrement)
  return decrements


@hypothesis.given(_TENSORS, _STEPS, strategies.floats(0.01, 100))
def test_scaled_weights_scale_the_update(weights, gradients, scale):
  plain = _steps(weights, gradients, weight_decay=0.0)
  scaled = _steps(scale * weights, gradients, weight_decay=0.0)
  for a, b in zip(plain, scaled):
    np.testing.assert_allclose(b, scale * a, rtol=1e-9)


@hypothesis.given(_TENSORS, _STEPS, strategies.sampled_from(['l1', 'l2']),
                  strategies.floats(0.1, 5), strategies.floats(0, 2))
def test_norm_of_update_is_rate_times_phi(
    weights, gradients, kind, phi_min, decay):
  decrements = _steps(weights, gradients, norm=kind, phi_min=phi_min,
                      phi_max=phi_min + 1, weight_decay=decay)
  phi = np.clip(update_rule.norm(weights, kind, np), phi_min, phi_min + 1)
  for decrement in decrements:
    if np.abs(decrement).max() > 0:
      np.testing.assert_allclose(
          update_rule.norm(decrement, kind, np), 0.1 * phi, rtol=1e-9)


@hypothesis.given(_TENSORS, _STEPS)
def test_excluded_layers_follow_adam(weights, gradients):
  decrements = _steps(weights, gradients, adapts=False, decays=False)
  m = v = 0.0
  for t, (gradient, decrement) in enumerate(zip(gradients, decrements), 1):
    m = 0.9 * m + 0.1 * gradient
    v = 0.999 * v + 0.001 * gradient ** 2
    adam = m / (1 - 0.9 ** t) / (np.sqrt(v / (1 - 0.999 ** t)) + 1e-6)
    np.testing.assert_allclose(decrement, 0.1 * adam, rtol=1e-9, atol=1e-15)


@hypothesis.given(_TENSORS, _STEPS)
def test_bias_correction_cancels_without_decay_and_epsilon(
    weights, gradients):
  options = {'weight_decay': 0.0, 'epsilon': 0.0}
  with_it = _steps(weights, gradients, bias_correction=True, **options)
  without = _steps(weights, gradients, bias_correction=False, **options)
  for a, b in zip(with_it, without):
    np.testing.assert_allclose(a, b, rtol=1e-9)


@hypothesis.given(_TENSORS, _TENSORS)
def test_bias_correction_matters_with_decay(weights, gradient):
  # Parallel weights and direction would hide it.
  hypothesis.assume(np.linalg.matrix_rank(
      np.stack([weights.ravel(), np.sign(gradient).ravel()]), tol=0.1) == 2)
  options = {'weight_decay': 1.0, 'epsilon': 0.0}
  (with_it,) = _steps(weights, [gradient], bias_correction=True, **options)
  (without,) = _steps(weights, [gradient], bias_correction=False, **options)
  assert np.abs(with_it - without).max() > 1e-9
