"""Each layer against plain arithmetic in NumPy."""

import itertools

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import slab_kernels

_RNG = np.random.default_rng(0)
_SLAB = _RNG.normal(size=(4, 6, 2, 3)).astype(np.float32)


def _normal(*shape):
  return _RNG.normal(size=shape).astype(np.float32)


def _config(**changes):
  return config_lib.NetworkConfig(**changes)


@pytest.fixture(scope='module', name='kernels')
def _kernels():
  kernels = slab_kernels.Kernels(_config())
  yield kernels
  kernels.close()


def _softmax(logits):
  powers = np.exp(logits - logits.max(-1, keepdims=True))
  return powers / powers.sum(-1, keepdims=True)


def test_a_convolution_pads_y_and_z_alone(kernels):
  kernel = _normal(3, 3, 3, 3, 5)
  wide = np.pad(_SLAB, [(0, 0), (1, 1), (1, 1), (0, 0)])
  expected = sum(
      wide[a:a + 2, b:b + 6, c:c + 2] @ kernel[a, b, c]
      for a, b, c in itertools.product(range(3), repeat=3))
  np.testing.assert_allclose(kernels.convolve(_SLAB, kernel), expected,
                             atol=1e-5)


def test_moments_are_by_channel_and_unbiased(kernels):
  mean, variance = kernels.moments(_SLAB + 100)
  flat = _SLAB.astype(np.float64).reshape(-1, 3) + 100
  np.testing.assert_allclose(mean, flat.mean(0), rtol=1e-6)
  np.testing.assert_allclose(variance, flat.var(0, ddof=1), rtol=1e-4)


@pytest.mark.parametrize('slope', [0.1, 1.0])
def test_activation_follows_scale_and_offset(slope):
  kernels = slab_kernels.Kernels(_config(leaky_relu_slope=slope))
  scale, offset = _normal(3), _normal(3)
  came = kernels.activate(_SLAB, scale, offset)
  kernels.close()
  y = _SLAB * scale + offset
  np.testing.assert_allclose(came, np.where(y > 0, y, slope * y), atol=1e-6)


def test_pooling_takes_the_maximum_of_8_voxels(kernels):
  expected = _SLAB.reshape(2, 2, 3, 2, 1, 2, 3).max((1, 3, 5))
  np.testing.assert_array_equal(kernels.pool(_SLAB), expected)


def test_spreading_multiplies_each_voxel_into_8(kernels):
  kernel = _normal(2, 2, 2, 5, 3)
  expected = np.einsum('xyzi,abcoi->xaybzco', _SLAB, kernel).reshape(
      8, 12, 4, 5)
  np.testing.assert_allclose(kernels.spread(_SLAB, kernel), expected,
                             atol=1e-5)


def test_the_head_gives_probabilities_or_the_most_probable_class(kernels):
  kernel, bias = _normal(1, 1, 1, 3, 4), _normal(4)
  expected = _softmax(_SLAB @ kernel[0, 0, 0] + bias)
  np.testing.assert_allclose(kernels.classify(_SLAB, kernel, bias), expected,
                             atol=1e-6)
  label = kernels.label(_SLAB, kernel, bias)
  assert label.dtype == np.uint8
  np.testing.assert_array_equal(label, expected.argmax(-1))


def test_bfloat16_slabs_have_float32_statistics_and_probabilities():
  kernels = slab_kernels.Kernels(_config(activation_dtype='bfloat16'))
  slab = _SLAB.astype(kernels.dtype)
  assert kernels.dtype == ml_dtypes.bfloat16
  assert kernels.convolve(slab, _normal(3, 3, 3, 3, 2)).dtype == kernels.dtype
  assert all(part.dtype == np.float32 for part in kernels.moments(slab))
  came = kernels.classify(slab, _normal(1, 1, 1, 3, 4), _normal(4))
  kernels.close()
  assert came.dtype == np.float32


def test_they_run_while_another_graph_is_being_built():
  with tf.Graph().as_default() as graph:
    kernels = slab_kernels.Kernels(_config())
    assert kernels.pool(_SLAB).shape == (2, 3, 1, 3)
    kernels.close()
    assert not graph.get_operations()
