import numpy as np
import pytest

from cnn_loopfilter import config as config_lib
from cnn_loopfilter import quantizer
from cnn_loopfilter import rounding
from tests.cnn_loopfilter import quantizer_test


@pytest.mark.parametrize('fl', [-1, 3, 7])
def test_sums_are_those_of_the_exact_kernel_rounded_once(fl):
  kernel = np.random.default_rng(fl + 1).normal(
      0, 2.0 ** (4 - fl), [3, 3, 5, 7]).astype(np.float32)
  found = np.ldexp(rounding.sum_preserving(kernel, 16, fl), fl)
  np.testing.assert_array_equal(found, np.rint(found))
  exact = np.ldexp(kernel.astype(np.float64), fl)
  assert np.abs(found.sum((0, 1)) - exact.sum((0, 1))).max() <= 0.5
  assert np.abs(found - exact).max() < 1


def test_as_little_is_changed_as_can_be():
  exact = np.array([0.4, 0.4, 0.3, 0.2, 1.0, 0.0, 0.0, -0.2, 0.0])
  kernel = exact.reshape(3, 3, 1, 1).astype(np.float32)
  found = rounding.sum_preserving(kernel, 8, 0).ravel()
  # The sum 2.1 is 2: one more than weight by weight.
  np.testing.assert_array_equal(np.sort(np.abs(found - np.rint(exact))),
                                [0] * 8 + [1])
  assert found[:2].sum() == 1


def test_a_kernel_on_the_grid_stays():
  kernel = np.arange(-9, 9, dtype=np.float32).reshape(3, 3, 2, 1) / 4
  np.testing.assert_array_equal(rounding.sum_preserving(kernel, 8, 2), kernel)


def test_values_beyond_the_width_are_clamped():
  kernel = np.full([1, 1, 1, 2], 9.0, np.float32) * [[[[1, -1]]]]
  np.testing.assert_array_equal(
      rounding.sum_preserving(kernel, 4, 0).ravel(), [7, -8])


def test_a_rounded_filter_is_exported_as_it_is():
  source = quantizer_test.float_network()
  config = config_lib.QuantizationConfig()
  lengths = [quantizer.Lengths(6, 10, 10)] * len(source.layers)
  found = rounding.rounded(source, config, lengths)
  integers = quantizer.to_integers(found, config, lengths)
  for layer, one in zip(found.layers, integers.layers):
    np.testing.assert_array_equal(np.ldexp(layer.kernel, 6), one.weights)
  np.testing.assert_array_equal(
      quantizer.to_integers(
          rounding.rounded(found, config, lengths), config, lengths
      ).layers[0].weights, integers.layers[0].weights)
