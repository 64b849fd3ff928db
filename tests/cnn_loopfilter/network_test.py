import numpy as np
import pytest
import tensorflow as tf

from cnn_loopfilter import config as config_lib
from cnn_loopfilter import network
from tests.cnn_loopfilter import float_filter_test


def _plain(source, plane, qp):
  """The filter in float64 loops over kernel taps, as its docstring says."""
  x = np.stack([plane / 2.0 ** source.depth,
                np.full(plane.shape, qp / 64)], axis=-1)
  height, width = plane.shape
  for layer in source.layers:
    edge = layer.kernel.shape[0]
    padded = np.pad(x, [(edge // 2,) * 2, (edge // 2,) * 2, (0, 0)])
    y = layer.bias.astype(np.float64)
    for i in range(edge):
      for j in range(edge):
        y = y + padded[i:i + height, j:j + width] @ layer.kernel[i, j]
    if layer.norm:
      norm = layer.norm
      y = (norm.scale * (y - norm.mean)
           / np.sqrt(norm.variance + norm.epsilon) + norm.offset)
    x = np.maximum(y, 0) if layer.relu else y
  value = plane + 2.0 ** source.depth * source.residual_scale * x[..., 0]
  return np.rint(np.clip(value, 0, 2 ** source.depth - 1)), value


@pytest.mark.parametrize('edge', [1, 3, 5])
def test_apply_is_the_plain_arithmetic(edge):
  source = float_filter_test.random_filter(edge=edge)
  plane = np.random.default_rng(2).integers(0, 256, [7, 9])
  filtered = network.apply(source)(plane[None, :, :, None], [30]).numpy()
  expected, value = _plain(source, plane, 30)
  assert filtered.dtype == np.int32
  # Values beside a half may fall either way in float32.
  safe = np.abs(value - np.floor(value) - 0.5) > 1e-2
  assert safe.mean() > 0.5
  np.testing.assert_array_equal(filtered[0, :, :, 0][safe], expected[safe])


def test_apply_takes_each_picture_at_its_qp():
  run = network.apply(float_filter_test.random_filter())
  plane = np.random.default_rng(3).integers(0, 256, [2, 8, 8, 1])
  both = run(plane, [22, 37]).numpy()
  np.testing.assert_array_equal(both[:1], run(plane[:1], [22]).numpy())
  np.testing.assert_array_equal(both[1:], run(plane[1:], [37]).numpy())
  assert (run(plane, [37, 22]).numpy() != both).any()


def test_new_network_changes_nothing():
  model = network.build(config_lib.NetworkConfig(filters=(4, 4)))
  source = network.to_filter(model, config_lib.NetworkConfig(filters=(4, 4)))
  plane = np.random.default_rng(4).integers(0, 256, [1, 6, 6, 1])
  np.testing.assert_array_equal(network.apply(source)(plane, [30]), plane)


def test_paper_network_has_its_weights():
  model = network.build(config_lib.NetworkConfig())
  kernels = [v for v in model.trainable_variables if 'kernel' in v.name]
  assert sum(int(tf.size(v)) for v in kernels) == 222912


def test_start_is_a_function_of_the_seed():
  config = config_lib.NetworkConfig(filters=(4, 4))
  first, same, other = (network.build(config, seed).get_weights()
                        for seed in (1, 1, 2))
  assert all((a == b).all() for a, b in zip(first, same))
  assert (first[0] != other[0]).all()


def test_keras_model_and_filter_are_one_function():
  source = float_filter_test.random_filter()
  model = network.from_filter(source)
  x = network.inputs(tf.random.stateless_uniform([1, 6, 5, 1], [1, 2]), [30])
  back = network.to_filter(model, network.network_config(source))
  for version in (source.folded(), back, back.folded()):
    again = network.from_filter(version)
    np.testing.assert_allclose(again(x), model(x), rtol=1e-4, atol=1e-5)


def test_bfloat16_is_near_float32():
  config = config_lib.NetworkConfig(filters=(8, 8), zero_last_layer=False,
                                    activation_dtype='bfloat16')
  low = network.build(config)
  high = network.build(config_lib.NetworkConfig(
      filters=(8, 8), zero_last_layer=False))
  x = network.inputs(tf.random.stateless_uniform([1, 6, 5, 1], [1, 2]), [30])
  assert low(x).dtype == tf.float32
  np.testing.assert_allclose(low(x), high(x), atol=2e-3)
  assert all(v.dtype == tf.float32 for v in low.weights)


def test_samples_round_half_to_even_and_clip():
  residual = tf.constant([0.5, 1.5, 2.5, -3.0, 300.0]) / 256
  np.testing.assert_array_equal(
      network.samples(tf.zeros([5]), residual, 8), [0, 2, 2, 0, 255])
