"""Runs an exported filter on TensorFlow, by one of three sets of kernels.

int32 is TensorFlow's own integer convolution, there everywhere and slow.

float32 convolves tensors whose values are integers. That is exact, in whatever
order the products are summed, as long as no partial sum leaves 24 bits, and
this is proven for each layer from its weights. Where the proof fails, the
activations are split into high and low bits, so that it holds for each half;
the halves are joined without rounding, or in int32.

int8 is oneDNN's, several times as fast; see `int8_kernels`.

A layer that the chosen kernels cannot do exactly takes the next of the list.
"""

import math
import warnings

import numpy as np
import tensorflow as tf

from cnn_loopfilter import exact_float
from cnn_loopfilter import int8_kernels
from cnn_loopfilter import integer_graph

# From slow to fast.
KERNELS = ('int32', 'float32', 'int8')
# Samples of a tile with its margins: 64 channels of them take 64 MB, which
# bounds the memory, and computes little twice.
_TILE_SAMPLES = 2 ** 18


def _rounding_shift(x, shift):
  """See dfp.rounding_shift; int32."""
  if shift <= 0:
    return tf.bitwise.left_shift(x, -shift) if shift else x
  odd = tf.bitwise.bitwise_and(tf.bitwise.right_shift(x, shift), 1)
  return tf.bitwise.right_shift(x + (2 ** (shift - 1) - 1) + odd, shift)


def _left(x, shift):
  return tf.bitwise.left_shift(x, shift) if shift else x


def _finish(accumulator, layer, step):
  """Adds the bias, rounds once, clamps; int32 in and out."""
  biases = layer.biases.astype(np.int64) << step.bias_shift
  total = (_left(accumulator, step.accumulator_shift)
           + biases.astype(np.int32))
  return tf.clip_by_value(_rounding_shift(total, step.output_shift),
                          step.low, step.high)


def _int32_layer(x, layer, step):
  """One layer in int32."""
  # No other device has an integer convolution.
  with tf.device('/CPU:0'):
    return _finish(tf.nn.conv2d(tf.cast(x, tf.int32), layer.weights, 1,
                                'SAME'), layer, step)


def _float_layer(x, layer, step):
  """One layer on integers in float32, every partial sum below 2^24.

  The power of two between sum and output is put into the weights beforehand;
  it changes no digit, and leaves convolution, bias, rounding, clamp.
  """
  kernel, biases = exact_float.scaled(layer, step)
  x = tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, 'SAME'), biases)
  if step.low == 0:
    # TensorFlow joins convolution, bias and ReLU into one kernel.
    x = tf.nn.relu(x)
  if step.output_shift > 0:
    x = tf.round(x)
  if step.low == 0:
    return tf.minimum(x, float(step.high))
  return tf.clip_by_value(x, float(step.low), float(step.high))


def _split_layer(x, layer, step, bits):
  """One layer on integers in float32, high and low bits apart.

  Both halves come out divided by 2^output_shift. Half of the high one, H,
  rounds to n; then H - 2n and the low half L add up without rounding, and

    round(H + L) = 2n + round((H - 2n) + L),

  with halves going to even on both sides, as 2n is even itself.
  """
  scaled = x * 2.0 ** -bits
  high = tf.floor(scaled)
  if not _joins_in_float(layer, step, bits):
    kernel = layer.weights.astype(np.float32)
    parts = high, x - high * 2.0 ** bits
    high, low = (tf.cast(tf.nn.conv2d(part, kernel, 1, 'SAME'), tf.int32)
                 for part in parts)
    return tf.cast(_finish(_left(high, bits) + low, layer, step), tf.float32)
  kernel = np.ldexp(layer.weights.astype(np.float32),
                    bits + step.accumulator_shift - step.output_shift)
  biases = np.ldexp(layer.biases.astype(np.float32),
                    step.bias_shift - step.output_shift)
  low = tf.nn.bias_add(tf.nn.conv2d(scaled - high, kernel, 1, 'SAME'), biases)
  high = tf.nn.conv2d(high, kernel, 1, 'SAME')
  even = tf.round(high * 0.5) * 2.0
  return tf.clip_by_value(even + tf.round(high - even + low),
                          float(step.low), float(step.high))


def _joins_in_float(layer, step, bits):
  """Says whether (H - 2n) + L fits 24 bits, and H / 2^output_shift too."""
  if step.output_shift < 8:
    return False
  low = (exact_float.largest_row(layer) * (2 ** bits - 1)
         << step.accumulator_shift)
  bias = int(np.abs(layer.biases.astype(np.int64)).max()) << step.bias_shift
  return low + bias + 2 ** step.output_shift <= exact_float.EXACT


def residual(filter_: integer_graph.IntegerFilter, reconstruction: tf.Tensor,
             qp: tf.Tensor, *, kernels: str) -> tf.Tensor:
  """Builds the layers.

  Args:
    filter_: the filter.
    reconstruction: int32 [batch, height, width, 1].
    qp: int32 [batch].
    kernels: one of KERNELS, the fastest that may be taken.

  Returns:
    int32 [batch, height, width, 1], the last layer's output.
  """
  plane = _left(qp, filter_.depth - integer_graph.QP_BITS)
  plane = tf.reshape(plane, [-1, 1, 1, 1]) * tf.ones_like(reconstruction)
  x, least = tf.concat([reconstruction, plane], axis=3), 0
  for layer, step in zip(filter_.layers, filter_.plan):
    # The activations of oneDNN's kernels have no sign.
    way = 'float32' if kernels == 'int8' and least < 0 else kernels
    x, least = _layer(x, layer, step, way), step.low
  return tf.cast(x, tf.int32)


def _layer(x, layer, step, kernels):
  """One layer; its integers come and go in whatever type suits the kernel."""
  if kernels == 'int8' and int8_kernels.fuses(layer, step):
    return int8_kernels.fused_layer(x, layer, step)
  if kernels == 'int8' and int8_kernels.sums(layer, step):
    return _finish(int8_kernels.convolve(x, layer, step), layer, step)
  bits = exact_float.split_bits(layer, step) if kernels != 'int32' else None
  if bits is None:
    return _int32_layer(x, layer, step)
  x = tf.cast(x, tf.float32)
  if bits == 0:
    return _float_layer(x, layer, step)
  return _split_layer(x, layer, step, bits)


def joined(filter_: integer_graph.IntegerFilter, reconstruction: tf.Tensor,
           residuals: tf.Tensor) -> tf.Tensor:
  """Adds the residual to the samples, rounds once, clips; int32."""
  bits = filter_.residual_bits
  total = _left(reconstruction, bits) + residuals
  return tf.clip_by_value(_rounding_shift(total, bits), 0,
                          2 ** filter_.depth - 1)


def function(filter_: integer_graph.IntegerFilter, *, kernels: str,
             jit_compile: bool | None = None) -> tf.types.experimental.Callable:
  """Makes the tf.function (reconstruction, qp) -> (filtered, residual).

  Args:
    filter_: the filter.
    kernels: see `residual`.
    jit_compile: True: compile with XLA, which is slower on a CPU and has no
      int8 kernels.
  """
  @tf.function(jit_compile=jit_compile, input_signature=[
      tf.TensorSpec([None, None, None, 1], tf.int32, 'reconstruction'),
      tf.TensorSpec([None], tf.int32, 'qp')])
  def run(reconstruction, qp):
    residuals = residual(filter_, reconstruction, qp, kernels=kernels)
    return joined(filter_, reconstruction, residuals), residuals
  return run


class TensorFlowRuntime:
  """The filter on TensorFlow, in tiles, so that memory does not grow.

  Args:
    filter_: the filter.
    kernels: one of KERNELS; 'int8' only where `int8_kernels.available`.
    jit_compile: compile with XLA.
    tile_samples: samples of a tile with its margins, all of the batch's.
  """

  def __init__(self, filter_: integer_graph.IntegerFilter, *, kernels: str,
               jit_compile: bool | None = None,
               tile_samples: int = _TILE_SAMPLES):
    self.filter, self.depth, self.kernels = filter_, filter_.depth, kernels
    self._run = function(filter_, kernels=kernels, jit_compile=jit_compile)
    self._tile_samples = tile_samples

  def agrees(self) -> bool:
    """Says whether the filter's known answer comes out, bit for bit."""
    vector = self.filter.vector
    filtered, residuals = self._run(vector.reconstruction, vector.qp)
    return (np.array_equal(filtered, vector.filtered)
            and np.array_equal(residuals, vector.residual))

  def filter_batch(self, reconstruction: np.ndarray,
                   qp: np.ndarray) -> np.ndarray:
    """Filters whole planes [batch, height, width, 1]; see runtime.Runtime."""
    reconstruction, qp = integer_graph.check_input(
        self.filter, reconstruction, qp)
    batch, height, width, _ = reconstruction.shape
    margin, qp = self.filter.margin, tf.constant(qp)
    filtered = np.empty_like(reconstruction)
    rows, columns = tile_shape(height, width, margin,
                               max(1, self._tile_samples // batch))
    for y in range(0, height, rows):
      for x in range(0, width, columns):
        top, left = max(0, y - margin), max(0, x - margin)
        tile = reconstruction[:, top:y + rows + margin,
                              left:x + columns + margin]
        # Zeros lie outside the picture alone: what a tile's own padding
        # spoils is cut off with the margin.
        result = self._run(tf.constant(tile), qp)[0].numpy()
        filtered[:, y:y + rows, x:x + columns] = result[
            :, y - top:y - top + rows, x - left:x - left + columns]
    return filtered

  def filter_plane(self, plane: np.ndarray, qp: int) -> np.ndarray:
    """Filters one component [height, width]; keeps the samples' type."""
    plane = np.asarray(plane)
    return self.filter_batch(plane[None, ..., None], np.array([qp]))[
        0, ..., 0].astype(plane.dtype)


def tile_shape(height: int, width: int, margin: int,
               samples: int) -> tuple[int, int]:
  """Chooses the tiling with the least work among those that fit.

  Args:
    height: of the plane.
    width: of the plane.
    margin: samples around a tile that are computed and thrown away.
    samples: most samples of a tile with its margins, unless too few for one.

  Returns:
    Rows and columns of a tile without its margins; tiles at the end may be
    smaller.
  """
  def work(size, count):
    """Samples along one axis that `count` tiles compute, and one's largest."""
    inner = math.ceil(size / count)
    tiles = math.ceil(size / inner)
    return size + 2 * margin * (tiles - 1), min(
        size, inner + (margin if tiles == 2 else 2 * margin)), inner
  best = None
  for down in range(1, math.ceil(height / 8) + 1):
    for across in range(1, math.ceil(width / 8) + 1):
      total_y, largest_y, rows = work(height, down)
      total_x, largest_x, columns = work(width, across)
      cost = (max(largest_y * largest_x - samples, 0), total_y * total_x)
      if best is None or cost < best[0]:
        best = cost, (rows, columns)
      if largest_y * largest_x <= samples:
        break
  return best[1]


def make(filter_: integer_graph.IntegerFilter,
         kernels: str = 'int8') -> TensorFlowRuntime:
  """Makes the fastest runtime that passes the filter's known answer.

  Kernels may sum in another way than the proof allows (Winograd, TF32, ...):
  if a bit differs, a warning is given and slower ones are tried.

  Args:
    filter_: the filter.
    kernels: one of KERNELS, the fastest that may be taken.
  """
  if kernels != 'int32' and filter_.vector is None:
    warnings.warn('the filter has no known answer to check fast kernels with; '
                  'int32 is used instead', stacklevel=2)
    kernels = 'int32'
  for tried in reversed(KERNELS[1:KERNELS.index(kernels) + 1]):
    if tried == 'int8' and not int8_kernels.available():
      continue
    made = TensorFlowRuntime(filter_, kernels=tried)
    if made.agrees():
      return made
    warnings.warn(f'the {tried} kernels do not give the known answer on this '
                  'machine; slower ones are used instead', stacklevel=2)
  return TensorFlowRuntime(filter_, kernels='int32')
