"""Convolutions of 8-bit integers: oneDNN's, which sum in int32.

TensorFlow brings oneDNN's quantized convolutions for x86 processors. Their
products of unsigned activations and signed weights are summed in int32, so
nothing is rounded before the end; and the fused one then does what a layer of
the filter does: bias, ReLU, times a power of two, round half to even, clamp to
0 .. 255. It does so in float32, which is exact while the sum stays below 2^24.

They are there only where oneDNN is switched on, and processors without VNNI
add pairs of products in 16 bits, which saturate: `available` tries both.
"""

import functools

import numpy as np
import tensorflow as tf

from cnn_loopfilter import exact_float
from cnn_loopfilter import integer_graph

_BYTE = 255
# Ranges that make TensorFlow's scales of activations and weights 1.
_UNIT_INPUT = {'min_input': 0.0, 'max_input': 255.0}
_UNIT_FILTER = {'min_filter': -127.0, 'max_filter': 127.0}
_PLACE = {'strides': [1, 1, 1, 1], 'padding': 'SAME'}


@functools.cache
def available() -> bool:
  """Says whether this process has the kernels, and they do not saturate."""
  activations = np.full([1, 4, 4, 64], _BYTE, np.uint8)
  kernel = np.full([3, 3, 64, 64], 127, np.int8)
  # The largest sums of either sign.
  kernel[..., ::2] = -128
  # The kernel takes its weights from a graph's constant alone.
  run = tf.function(lambda x: _convolution(x, kernel))
  try:
    found = run(tf.constant(activations))
  except tf.errors.OpError:
    return False
  expected = tf.nn.conv2d(activations.astype(np.int32),
                          kernel.astype(np.int32), 1, 'SAME')
  return bool(tf.reduce_all(found == expected))


def _fits(layer, step):
  largest = int(step.input_max.max())
  return layer.weight_bits <= 8 and largest < 2 ** 16


def fuses(layer: integer_graph.Layer, step: integer_graph.Step) -> bool:
  """Says whether one kernel does the whole layer, to uint8.

  The layer's inputs must not be negative.
  """
  return (_fits(layer, step) and int(step.input_max.max()) <= _BYTE
          and step.low == 0 and step.high <= _BYTE
          and step.accumulator_shift == 0
          and step.sum_bound.max() <= exact_float.EXACT)


def fused_layer(x: tf.Tensor, layer: integer_graph.Layer,
                step: integer_graph.Step) -> tf.Tensor:
  """Runs a layer that `fuses`.

  Args:
    x: integers 0 to 255, [batch, height, width, in].
    layer: the layer.
    step: its step.

  Returns:
    uint8 [batch, height, width, out], 0 to step.high.
  """
  biases = layer.biases.astype(np.int64) << step.bias_shift
  result = tf.raw_ops.QuantizedConv2DWithBiasAndReluAndRequantize(
      input=_bytes(x), filter=_weights(layer.weights),
      bias=tf.bitcast(tf.constant(biases.astype(np.int32)), tf.qint32),
      min_freezed_output=0.0,
      max_freezed_output=_BYTE * 2.0 ** step.output_shift,
      out_type=tf.quint8, **_UNIT_INPUT, **_UNIT_FILTER, **_PLACE).output
  result = tf.bitcast(result, tf.uint8)
  if step.high < _BYTE:
    result = tf.minimum(result, np.uint8(step.high))
  return result


def sums(layer: integer_graph.Layer, step: integer_graph.Step) -> bool:
  """Says whether the kernels give the layer's sums, by bytes if need be.

  The layer's inputs must not be negative.
  """
  return _fits(layer, step)


def convolve(x: tf.Tensor, layer: integer_graph.Layer,
             step: integer_graph.Step) -> tf.Tensor:
  """Convolves the inputs of a layer that `sums`, without bias.

  Args:
    x: integers 0 to 2^16 - 1, [batch, height, width, in].
    layer: the layer.
    step: its step.

  Returns:
    int32 [batch, height, width, out].
  """
  if step.input_max.max() <= _BYTE:
    return _convolution(x, layer.weights)
  x = tf.cast(x, tf.int32)
  high = _convolution(tf.bitwise.right_shift(x, 8), layer.weights)
  low = _convolution(tf.bitwise.bitwise_and(x, _BYTE), layer.weights)
  return tf.bitwise.left_shift(high, 8) + low


def _convolution(x, weights):
  result = tf.raw_ops.QuantizedConv2D(
      input=_bytes(x), filter=_weights(weights), out_type=tf.qint32,
      **_UNIT_INPUT, **_UNIT_FILTER, **_PLACE).output
  return tf.bitcast(result, tf.int32)


def _bytes(x):
  return tf.bitcast(tf.cast(x, tf.uint8), tf.quint8)


def _weights(weights):
  return tf.bitcast(tf.constant(weights.astype(np.int8)), tf.qint8)
