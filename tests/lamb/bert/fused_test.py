import numpy as np
import pytest
import tensorflow as tf

from lamb.bert import fused
from tests.lamb.bert import reference_model

v1 = tf.compat.v1
_SMALL, _LARGE = (64, 8), (1 << 15, 8)
_SIZES = pytest.mark.parametrize('shape', [
    pytest.param(_SMALL, id='by_operations'),
    pytest.param(_LARGE, id='compiled')])


def _random(*shape, seed=0):
  return 2 * np.random.default_rng(seed).standard_normal(shape).astype('f')


def _run(function, *values, dtype=tf.float32):
  """Returns value and gradients, of a sum with random factors."""
  with tf.Graph().as_default(), v1.Session() as session:
    inputs = [tf.constant(value) for value in values]
    result = function(tf.cast(inputs[0], dtype), *inputs[1:])
    factors = tf.constant(_random(*result.shape, seed=9))
    loss = tf.reduce_sum(tf.cast(result, tf.float32) * factors)
    return session.run([tf.cast(result, tf.float32),
                        *tf.gradients(loss, inputs)])


def _plain_norm(tensor, gamma, beta):
  mean, variance = tf.nn.moments(tensor, [-1], keepdims=True)
  return tf.nn.batch_normalization(
      tensor, mean, variance, beta, gamma, 1e-12)


@_SIZES
def test_gelu_is_the_published_form_with_its_gradient(shape):
  x = _random(*shape)
  value, gradient = _run(fused.gelu, x)
  np.testing.assert_allclose(value, reference_model.gelu(x), atol=1e-6)
  _, expected = _run(lambda x: tf.nn.gelu(x, approximate=True), x)
  np.testing.assert_allclose(gradient, expected, atol=1e-4)


@_SIZES
def test_layer_norm_equals_tensorflows_with_its_gradients(shape):
  inputs = _random(*shape), _random(shape[1], seed=1), _random(shape[1], seed=2)
  for actual, expected in zip(_run(fused.layer_norm, *inputs),
                              _run(_plain_norm, *inputs)):
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


@_SIZES
def test_dropped_are_those_with_few_bits_forth_and_back(shape):
  x = _random(*shape)
  bits = np.random.default_rng(1).integers(0, 1 << 16, shape, 'uint16')
  value, gradient = _run(lambda x: fused.drop(x, tf.constant(bits), 16384), x)
  kept = (bits >= 16384) / np.float32(0.75)
  np.testing.assert_allclose(value, x * kept, rtol=1e-6)
  np.testing.assert_allclose(
      gradient, _random(*shape, seed=9) * kept, rtol=1e-6)


@pytest.mark.parametrize('function', [
    fused.gelu, lambda x: fused.layer_norm(x, tf.ones([8]), tf.zeros([8]))])
def test_bfloat16_is_rounded_once(function):
  x = tf.cast(_random(*_SMALL), tf.bfloat16)
  x = tf.cast(x, tf.float32).numpy()
  for actual, expected in zip(_run(function, x, dtype=tf.bfloat16),
                              _run(function, x)):
    np.testing.assert_allclose(actual, expected, rtol=1e-2, atol=1e-2)
