import numpy as np
import pytest
import tensorflow as tf

from lamb import errors
from lamb.bert import optimizers

v1 = tf.compat.v1


def _steps(name, kernel, gradients, **options):
  """Returns kernel and bias after some steps, both of which start equal."""
  with tf.Graph().as_default(), v1.Session() as session:
    variables = [v1.get_variable(each, initializer=kernel)
                 for each in ('layer/kernel', 'layer/bias')]
    gradient = v1.placeholder(tf.float32, kernel.shape)
    config = optimizers.OptimizerConfig(name, **options)
    update = optimizers.make(config, 0.1).apply_gradients(
        [(gradient, each) for each in variables],
        v1.train.get_or_create_global_step())
    session.run(v1.global_variables_initializer())
    for each in gradients:
      session.run(update, {gradient: each})
    return session.run(variables)


def _adamw(w, gradients, decay):
  """google-research/bert's AdamWeightDecayOptimizer, in float64."""
  w = w.astype(np.float64)
  m, v = np.zeros_like(w), np.zeros_like(w)
  for g in gradients:
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g ** 2
    w = w - 0.1 * (m / (np.sqrt(v) + 1e-6) + decay * w)
  return w


def test_adamw_is_that_of_bert():
  rng = np.random.default_rng(0)
  kernel = rng.standard_normal((5, 4)).astype(np.float32)
  gradients = rng.standard_normal((6, 5, 4)).astype(np.float32)
  actual_kernel, actual_bias = _steps('adamw', kernel, gradients)
  np.testing.assert_allclose(
      actual_kernel, _adamw(kernel, gradients, 0.01), rtol=1e-5)
  np.testing.assert_allclose(
      actual_bias, _adamw(kernel, gradients, 0.0), rtol=1e-5)


@pytest.mark.parametrize('name', ['lamb', 'lars'])
def test_step_of_a_kernel_is_adapted_and_of_a_bias_not(name):
  kernel = np.full((5, 4), 3.0, np.float32)
  moved, bias = _steps(name, kernel, [np.ones((5, 4))])
  # The trust ratio makes the step the rate times the norm of the weights.
  norm = np.linalg.norm(kernel)
  assert abs(np.linalg.norm(moved - kernel) - 0.1 * norm) < 1e-3
  assert np.linalg.norm(bias - kernel) < 0.5 * norm


@pytest.mark.parametrize('options, message', [
    ({'name': 'sgd'}, "got 'sgd', expected one of lamb, adamw, lars"),
    ({'clip_norm': -1.0}, 'clip_norm: got -1.0'),
    ({'beta_2': 1.0}, 'beta_2=1.0'),
])
def test_bad_setting_is_refused(options, message):
  with pytest.raises(errors.InputError, match=message):
    optimizers.OptimizerConfig(**options)
