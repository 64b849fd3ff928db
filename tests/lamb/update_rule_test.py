import numpy as np
import pytest

from lamb import hyperparameters
from lamb import update_rule
from tests.lamb import problems
from tests.lamb import reference


def _run(options, steps, dtype=np.float64, excluded='bias'):
  settings = hyperparameters.LambHyperparameters(**options)
  weights = problems.weights(dtype)
  slots = {name: (np.zeros_like(w), np.zeros_like(w))
           for name, w in weights.items()}
  for t, gradients in enumerate(problems.gradients(steps, dtype), start=1):
    for name, gradient in gradients.items():
      decrement, *slots[name] = update_rule.lamb_update(
          weights[name], gradient, *slots[name], dtype(t), dtype(0.01),
          settings, decays=excluded not in name, adapts=excluded not in name,
          ops=np)
      weights[name] = weights[name] - decrement
  return weights


@pytest.mark.parametrize(
    'options', problems.LAMB_OPTIONS.values(), ids=problems.LAMB_OPTIONS)
def test_lamb_update_equals_reference_after_twenty_steps(options):
  actual = _run(options, 20)
  expected = problems.expected(
      reference.lamb, 20, 0.01, options, np.float64)
  for name, value in expected.items():
    assert reference.error(actual[name], value) < 1e-13


@pytest.mark.parametrize(
    'options', problems.LARS_OPTIONS.values(), ids=problems.LARS_OPTIONS)
def test_lars_update_equals_reference_after_twenty_steps(options):
  settings = hyperparameters.LarsHyperparameters(**options)
  w = problems.weights(np.float64)['layer/kernel']
  stream = [g['layer/kernel'] for g in problems.gradients(20, np.float64)]
  expected = reference.lars(w, stream, 0.1, **options)[-1]
  m = np.zeros_like(w)
  for gradient in stream:
    decrement, m = update_rule.lars_update(
        w, gradient, m, 0.1, settings, decays=True, adapts=True, ops=np)
    w = w - decrement
  assert reference.error(w, expected) < 1e-13


def test_lamb_update_hand_worked_first_step():
  # g = (3, -4): m^ / sqrt(v^) = (1, -1); r = (1, -1) + 0.1 (3, 4) =
  # (1.3, -0.6); ||w|| = 5, ||r||^2 = 2.05.
  settings = hyperparameters.LambHyperparameters(
      epsilon=0.0, weight_decay=0.1)
  decrement, m, v = update_rule.lamb_update(
      np.array([3.0, 4.0]), np.array([3.0, -4.0]), np.zeros(2), np.zeros(2),
      1.0, 0.5, settings, decays=True, adapts=True, ops=np)
  np.testing.assert_allclose(
      decrement, 0.5 * 5 / np.sqrt(2.05) * np.array([1.3, -0.6]))
  np.testing.assert_allclose(m, [0.3, -0.4])
  np.testing.assert_allclose(v, [0.009, 0.016])


@pytest.mark.parametrize('weight_norm, direction_norm, options, ratio', [
    pytest.param(2.0, 4.0, {}, 0.5, id='plain'),
    pytest.param(0.0, 4.0, {'phi_min': 1.0}, 1.0, id='zero_weights'),
    pytest.param(2.0, 0.0, {}, 1.0, id='zero_direction'),
    pytest.param(8.0, 1.0, {'phi_max': 3.0}, 3.0, id='phi_max'),
    pytest.param(0.5, 1.0, {'phi_min': 2.0}, 2.0, id='phi_min'),
    pytest.param(80.0, 1.0, {'upper_bound': 10.0}, 10.0, id='v1_bound'),
])
def test_trust_ratio(weight_norm, direction_norm, options, ratio):
  options = {'phi_min': 0.0, 'phi_max': None, **options}
  assert update_rule.trust_ratio(
      np.float64(weight_norm), np.float64(direction_norm), ops=np, **options
  ) == ratio


def test_trust_ratio_does_not_hide_nan():
  assert np.isnan(update_rule.trust_ratio(
      np.float64(1), np.float64('nan'), phi_min=0.0, phi_max=None, ops=np))


def test_one_minus_power_keeps_float32_digits():
  actual = update_rule.one_minus_power(0.999, np.ones(1, np.float32), np)
  assert actual.dtype == np.float32
  assert abs(actual / 0.001 - 1) < 2e-7
