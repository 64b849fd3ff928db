"""The kernels themselves; whole filters: runtime_tensorflow_test."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from cnn_loopfilter import dfp
from cnn_loopfilter import int8_kernels
from cnn_loopfilter import integer_graph
from cnn_loopfilter import runtime
from tests.cnn_loopfilter import integer_filters

_needs_kernels = pytest.mark.skipif(
    not int8_kernels.available(),
    reason="oneDNN's int8 kernels are off (TF_ENABLE_ONEDNN_OPTS=1) or "
    'saturate on this processor')


def _layer(output_bits=9, **changes):
  """The second layer of a random filter, and its step."""
  filter_ = integer_filters.random_filter(
      widths=(5, 7, 1), output_bits=output_bits)
  layers = list(filter_.layers)
  layers[1] = dataclasses.replace(layers[1], **changes)
  filter_ = integer_graph.IntegerFilter(8, tuple(layers))
  return filter_.layers[1], filter_.plan[1]


def _inputs(step):
  rng = np.random.default_rng(3)
  return rng.integers(0, int(step.input_max[0]) + 1, [2, 9, 10, 5])


def _exact(x, layer, step):
  """Sums and outputs by NumPy's int64."""
  sums = runtime._convolution(x, layer.weights.astype(np.int64))
  total = ((sums << step.accumulator_shift)
           + (layer.biases.astype(np.int64) << step.bias_shift))
  return sums, np.clip(dfp.rounding_shift(total, step.output_shift),
                       step.low, step.high)


@_needs_kernels
@pytest.mark.parametrize('output_bits', [6, 8, 9])
def test_fused_layer_rounds_and_clamps_like_the_reference(output_bits):
  layer, step = _layer(output_bits)
  assert int8_kernels.fuses(layer, step)
  x = _inputs(step)
  _, expected = _exact(x, layer, step)
  found = tf.function(
      lambda x: int8_kernels.fused_layer(x, layer, step))(tf.constant(x))
  assert found.dtype == tf.uint8
  np.testing.assert_array_equal(found, expected)
  assert (expected == step.high).any() and (expected == 0).any()


@_needs_kernels
@pytest.mark.parametrize('output_bits', [9, 16, 17])
def test_sums_are_exact_by_bytes(output_bits):
  layer, step = _layer(output_bits)
  assert int8_kernels.sums(layer, step)
  x = _inputs(step)
  found = tf.function(
      lambda x: int8_kernels.convolve(x, layer, step))(tf.constant(x))
  np.testing.assert_array_equal(found, _exact(x, layer, step)[0])


def test_layers_outside_8_bits_are_left_to_others():
  assert not int8_kernels.fuses(*_layer(10))
  assert not int8_kernels.sums(*_layer(18))
  assert not int8_kernels.sums(*_layer(9, weight_bits=9))
  # Its outputs have a sign.
  assert not int8_kernels.fuses(*_layer(9, relu=False))
