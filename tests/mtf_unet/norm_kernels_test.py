import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import norm_kernels

_CONSTANTS = (tf.zeros(3), tf.ones(3))


@pytest.fixture(params=[(2, 4, 5, 3), (2, 4, 5, 6, 3)], ids=['2-D', '3-D'],
                name='x')
def _x(request):
  return np.random.default_rng(0).normal(
      50, 2, request.param).astype(np.float32)


def test_scale_and_offset_are_by_channel(x):
  scale, offset = np.float32([1, -2, 0.5]), np.float32([0, 3, -1])
  came = norm_kernels.scale_offset(tf.constant(x), scale, offset, *_CONSTANTS)
  np.testing.assert_allclose(came, x * scale + offset, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('dtype, close', [('float32', 1e-4),
                                          ('bfloat16', 0.05)])
def test_moments_are_float32_and_unbiased(x, dtype, close):
  mean, variance = norm_kernels.moments(tf.cast(x, dtype), *_CONSTANTS)
  assert mean.dtype == variance.dtype == tf.float32
  flat = x.reshape(-1, 3).astype(np.float64)
  np.testing.assert_allclose(mean, flat.mean(0), rtol=close)
  np.testing.assert_allclose(variance, flat.var(0, ddof=1), rtol=close)
