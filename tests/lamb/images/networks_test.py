import numpy as np
import pytest
import tensorflow as tf

import lamb
from lamb import param_filter
from lamb.images import config
from lamb.images import layers as layers_lib
from lamb.images import networks

v1 = tf.compat.v1


def _build(name, width, size, classes, training=True, dtype='float32'):
  layers = layers_lib.Layers(training, dtype)
  images = tf.ones([2, size, size, 3])
  logits = networks.logits(config.NetworkConfig(name, width), classes, layers,
                           images)
  return logits, layers


@pytest.mark.parametrize('name, classes, parameters', [
    # torchvision's ResNet-50 has as many; DavidNet's are counted by hand.
    ('resnet50', 1000, 25_557_032),
    ('davidnet', 10, 6_563_520 + 4_480 + 5_120),
])
def test_parameters_are_as_published(name, classes, parameters):
  with tf.Graph().as_default():
    logits, _ = _build(name, 64, 64, classes)
    assert logits.shape == [2, classes]
    assert sum(v.shape.num_elements()
               for v in v1.trainable_variables()) == parameters


def test_resnet_names_are_the_reference_codes_and_norms_are_excluded():
  with tf.Graph().as_default():
    _build('resnet50', 4, 32, 10)
    names = [param_filter.variable_path(v.name)
             for v in v1.trainable_variables()]
  excluded = [name for name in names if param_filter.is_excluded(
      lamb.RESNET_EXCLUSIONS, name)]
  assert 'conv2d_52/kernel' in names and 'dense/bias' in names
  assert len(excluded) == 2 * 53
  assert all(name.endswith(('gamma', 'beta')) for name in excluded)


def test_resnet_residuals_start_at_nothing():
  with tf.Graph().as_default(), v1.Session() as session:
    _build('resnet50', 4, 32, 10)
    session.run(v1.global_variables_initializer())
    gammas = session.run([v for v in v1.trainable_variables()
                          if 'gamma' in v.name])
  assert sum(not gamma.any() for gamma in gammas) == 16


@pytest.mark.parametrize('dtype, tolerance', [
    ('float32', 1e-4), ('bfloat16', 3e-2)])
def test_batch_norm_normalises_and_keeps_averages(dtype, tolerance):
  values = np.random.default_rng(0).normal(3, 2, (4, 5, 5, 2))
  with tf.Graph().as_default(), v1.Session() as session:
    layers = layers_lib.Layers(True)
    x = tf.constant(values, tf.as_dtype(dtype))
    result = tf.cast(layers.batch_norm(x), tf.float32)
    session.run(v1.global_variables_initializer())
    found, _ = session.run([result, layers.updates])
    mean = session.run(v1.global_variables()[2])
  np.testing.assert_allclose(found.mean((0, 1, 2)), 0, atol=tolerance)
  np.testing.assert_allclose(found.std((0, 1, 2)), 1, atol=tolerance)
  np.testing.assert_allclose(mean, 0.1 * values.mean((0, 1, 2)),
                             rtol=tolerance)


def test_convolution_pads_alike_for_even_and_odd_sizes():
  with tf.Graph().as_default(), v1.Session() as session:
    layers = layers_lib.Layers(True)
    x = tf.pad(tf.ones([1, 4, 4, 1]), [[0, 0], [0, 1], [0, 1], [0, 0]])
    even = layers.convolution(x[:, :4, :4], 1, 3, 2)
    kernel = v1.trainable_variables()[0]
    odd = tf.nn.conv2d(x, kernel, 2, [[0, 0], [1, 1], [1, 1], [0, 0]])
    session.run(v1.global_variables_initializer())
    small, large = session.run([even, odd])
  np.testing.assert_allclose(small[0, 0, 0], large[0, 0, 0])
  assert small.shape == (1, 2, 2, 1)


def test_initial_weights_depend_on_the_seed_alone():
  found = []
  for seed in (0, 0, 1):
    with tf.Graph().as_default(), v1.Session() as session:
      layers_lib.Layers(True, seed=seed).convolution(tf.ones([1, 9, 9, 8]), 64,
                                                     3)
      session.run(v1.global_variables_initializer())
      found.append(session.run(v1.trainable_variables()[0]))
  np.testing.assert_array_equal(found[0], found[1])
  assert not np.array_equal(found[0], found[2])
  assert found[0].std() == pytest.approx(72 ** -0.5, rel=0.05)
