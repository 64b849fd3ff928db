"""Writes an exported filter as a TFLite model of builtin float32 kernels.

TFLite's integer kernels round in their own ways, which differ from one another
(their int8 convolutions have a 32-bit multiplier and no power of two). Its
float32 convolution, however, is exact on integers where `exact_float` proves
it, and its ROUND is half to even. A layer whose sums leave 24 bits convolves
the parts of its activations; they are joined, rounded and clamped in int32,
where FLOOR_DIV by 2^n is the arithmetic shift. No flex operator is used.
"""

import os

import numpy as np
import tensorflow as tf

from cnn_loopfilter import atomic_file
from cnn_loopfilter import exact_float
from cnn_loopfilter import integer_graph


def save(filter_: integer_graph.IntegerFilter,
         path: str | os.PathLike) -> None:
  """Writes the model of `model` to a file."""
  content = model(filter_)
  with atomic_file.replacing(path) as stream:
    stream.write(content)


def model(filter_: integer_graph.IntegerFilter) -> bytes:
  """Makes the model, a flatbuffer.

  Its signature `serving_default` takes `reconstruction`, int32 [batch, height,
  width, 1], 0 to 2^depth - 1, and `qp`, int32 [batch], 0 to 63, and returns
  `filtered`, int32 of the shape and range of `reconstruction`. All sizes are
  dynamic. Ranges are not checked.

  Raises:
    InputError: if a layer's weights are too large for any exact form.
  """
  @tf.function(input_signature=[
      tf.TensorSpec([None, None, None, 1], tf.int32, 'reconstruction'),
      tf.TensorSpec([None], tf.int32, 'qp')])
  def run(reconstruction, qp):
    return {'filtered': _filtered(filter_, reconstruction, qp)}

  module = tf.Module()
  module.run = run
  converter = tf.lite.TFLiteConverter.from_concrete_functions(
      [run.get_concrete_function()], module)
  converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
  return converter.convert()


def _filtered(filter_, reconstruction, qp):
  plane = tf.reshape(qp * 2 ** (filter_.depth - integer_graph.QP_BITS),
                     [-1, 1, 1, 1])
  # Broadcast by an addition, the way there is an int32 kernel for.
  x = tf.concat([reconstruction, plane + reconstruction * 0], axis=3)
  for layer, step in zip(filter_.layers, filter_.plan):
    bits, count = exact_float.parts(layer, step)
    if count == 1 and step.high < exact_float.EXACT:
      x = _float_layer(x, layer, step)
    else:
      x = _split_layer(x, layer, step, bits, count)
  bits = filter_.residual_bits
  total = reconstruction * 2 ** bits + tf.cast(x, tf.int32)
  return _clipped(_rounding_shift(total, bits), 0, 2 ** filter_.depth - 1)


def _float_layer(x, layer, step):
  """A layer whose sums float32 holds."""
  kernel, biases = exact_float.scaled(layer, step)
  x = tf.nn.conv2d(tf.cast(x, tf.float32), kernel, 1, 'SAME')
  return _clipped(tf.round(tf.nn.bias_add(x, biases)), float(step.low),
                  float(step.high))


def _split_layer(x, layer, step, bits, count):
  """A layer whose activations are taken apart, and its sums joined."""
  x, total = tf.cast(x, tf.int32), layer.biases.astype(
      np.int64) << step.bias_shift
  total, kernel = total.astype(np.int32), layer.weights.astype(np.float32)
  for i in range(count):
    part = x
    if i < count - 1:
      x = _floor_shift(x, bits)
      part -= x * 2 ** bits
    part = tf.nn.conv2d(tf.cast(part, tf.float32), kernel, 1, 'SAME')
    # Parts may leave int32 and wrap; their sum, which does not, is right.
    total += tf.cast(part, tf.int32) * 2 ** (
        step.accumulator_shift + i * bits)
  return _clipped(_rounding_shift(total, step.output_shift), step.low,
                  step.high)


def _floor_shift(x, shift):
  return tf.math.floordiv(x, 2 ** shift)


def _rounding_shift(x, shift):
  """See dfp.rounding_shift; int32."""
  if shift <= 0:
    return x * 2 ** -shift
  quotient = _floor_shift(x, shift)
  odd = quotient - 2 * _floor_shift(quotient, 1)
  return _floor_shift(x + (2 ** (shift - 1) - 1) + odd, shift)


def _clipped(x, low, high):
  return tf.minimum(tf.maximum(x, low), high)
