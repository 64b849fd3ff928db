import numpy as np
import pytest
import tensorflow as tf

from lamb import hyperparameters
from lamb import update_rule
from lamb.images import config
from lamb.images import optimizers

v1 = tf.compat.v1
_WEIGHTS = np.array([[0.5, -1.0], [2.0, 0.25]])
_GRADIENT = np.array([[0.1, 0.2], [-0.3, 0.4]])


def _step(name, variable='conv2d/kernel'):
  """Updates once with learning rate 0.1 and decay 0.5; returns the weights."""
  settings = config.OptimizerConfig(
      name=name, learning_rate=0.1, weight_decay=0.5, nesterov=True)
  with tf.Graph().as_default(), v1.Session() as session:
    weights = v1.get_variable(variable, initializer=_WEIGHTS.astype('f'),
                              use_resource=True)
    update = optimizers.apply_gradients(
        settings, tf.constant(0.1), [tf.constant(_GRADIENT, tf.float32)],
        [weights], v1.train.get_or_create_global_step())
    session.run(v1.global_variables_initializer())
    session.run(update)
    return session.run(weights)


def _adam_direction(decay):
  root = np.sqrt(0.001) * np.abs(_GRADIENT) + 1e-6
  return 0.1 * _GRADIENT / root + decay * _WEIGHTS


def _norm(array):
  return np.sqrt((array ** 2).sum())


def test_adamw_is_lamb_with_a_ratio_of_one():
  direction = _adam_direction(0.5)
  np.testing.assert_allclose(
      _step('adamw'), _WEIGHTS - 0.1 * direction, rtol=1e-4)
  ratio = _norm(_WEIGHTS) / _norm(direction)
  np.testing.assert_allclose(
      _step('lamb'), _WEIGHTS - 0.1 * ratio * direction, rtol=1e-4)


def test_batch_norms_are_neither_decayed_nor_adapted():
  found = _step('lamb', 'batch_normalization_3/gamma')
  np.testing.assert_allclose(
      found, _WEIGHTS - 0.1 * _adam_direction(0.0), rtol=1e-4)


def test_lars_is_algorithm_1():
  decrement, _ = update_rule.lars_update(
      _WEIGHTS, _GRADIENT, np.zeros((2, 2)), 0.1,
      hyperparameters.LarsHyperparameters(weight_decay=0.5), decays=True,
      adapts=True, ops=np)
  np.testing.assert_allclose(_step('lars'), _WEIGHTS - decrement, rtol=1e-5)


@pytest.mark.parametrize('variable, decay', [
    ('conv2d/kernel', 0.5), ('batch_normalization/beta', 0.0)])
def test_momentums_decay_is_in_the_gradient(variable, decay):
  gradient = _GRADIENT + decay * _WEIGHTS
  # Nesterov's first step: gradient + 0.9 gradient.
  np.testing.assert_allclose(
      _step('momentum', variable), _WEIGHTS - 0.1 * 1.9 * gradient, rtol=1e-5)


@pytest.mark.parametrize('clip, expected', [(0.0, 5.0), (1.0, 1.0)])
def test_gradients_are_clipped_by_their_global_norm(clip, expected):
  with tf.Graph().as_default(), v1.Session() as session:
    variables = [v1.get_variable(name, initializer=1.0, use_resource=True)
                 for name in 'ab']
    found = optimizers.gradients(
        3 * variables[0] + 4 * variables[1], variables, clip_norm=clip)
    session.run(v1.global_variables_initializer())
    assert np.hypot(*session.run(found)) == pytest.approx(expected)


def test_replicas_gradients_are_summed_before_they_are_clipped(monkeypatch):
  # The sum over replicas exists on TPUs only; here the other one has twice
  # the gradient.
  monkeypatch.setattr(v1.tpu, 'cross_replica_sum', lambda x: 3 * x)
  with tf.Graph().as_default(), v1.Session() as session:
    variable = v1.get_variable('a', initializer=1.0, use_resource=True)
    found = optimizers.gradients(variable * 0.5, [variable], clip_norm=0.7,
                                 replicas=2)
    session.run(v1.global_variables_initializer())
    assert session.run(found[0]) == pytest.approx(0.7)


def test_learning_rate_is_a_triangle():
  settings = config.OptimizerConfig(learning_rate=1.0, warmup_steps=2)
  with tf.Graph().as_default(), v1.Session() as session:
    rates = [session.run(optimizers.learning_rate(
        settings, tf.constant(step, tf.int64), 6)) for step in range(7)]
  np.testing.assert_allclose(rates, [0, 0.5, 1, 0.75, 0.5, 0.25, 0])
