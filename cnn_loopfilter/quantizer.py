"""Rounds a filter to integers: one fractional length for each tensor.

Ristretto's rule chooses the lengths from the largest magnitudes;
length_search.py improves them.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np
import tensorflow as tf

from cnn_loopfilter import calibration as calibration_lib
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import dfp
from cnn_loopfilter import errors
from cnn_loopfilter import float_filter
from cnn_loopfilter import integer_graph

# The last layer has one output: a wide one costs nothing, and keeps the
# residual's fractional bits and its range.
_LAST_OUTPUT_BITS = 16
# Beyond it the rounding's addend alone would take up much of int32.
_MAX_OUTPUT_SHIFT = 24


@dataclasses.dataclass(frozen=True)
class Lengths:
  """Fractional lengths of one layer."""
  weight_fl: int
  bias_fl: int
  output_fl: int


def bits_of(source: float_filter.FloatFilter,
            config: config_lib.QuantizationConfig) -> list[int]:
  """Returns the bit width of each layer's output."""
  bits = [config.output_bits] * len(source.layers)
  bits[-1] = max(_LAST_OUTPUT_BITS, config.output_bits)
  return bits


def to_integers(source: float_filter.FloatFilter,
                config: config_lib.QuantizationConfig,
                lengths: Sequence[Lengths]) -> integer_graph.IntegerFilter:
  """Rounds a filter to integers of given lengths.

  The residual scale, a power of two, goes into the length of the last layer's
  weights and bias: no number is changed by it.

  Raises:
    InputError: if a sum could leave int32; see integer_graph.
  """
  folded, layers = scaled(source), []
  for layer, length, bits in zip(folded, lengths, bits_of(source, config)):
    layers.append(integer_graph.Layer(
        dfp.quantize(layer.kernel, config.weight_bits,
                     length.weight_fl).astype(np.int32),
        dfp.quantize(layer.bias, config.bias_bits,
                     length.bias_fl).astype(np.int32),
        **dataclasses.asdict(length), weight_bits=config.weight_bits,
        bias_bits=config.bias_bits, output_bits=bits, relu=layer.relu))
  return integer_graph.IntegerFilter(source.depth, tuple(layers),
                                     dict(source.description))


def scaled(source: float_filter.FloatFilter) -> list[float_filter.Layer]:
  """Folds norms and the residual's scale into kernels and biases.

  Raises:
    InputError: if the scale is no power of 2.
  """
  layers = list(source.folded().layers)
  scale = np.float32(source.residual_scale)
  if np.frexp(scale)[0] != 0.5:
    raise errors.InputError(
        f'residual_scale: got {source.residual_scale}, expected a power of 2')
  layers[-1] = dataclasses.replace(layers[-1], kernel=layers[-1].kernel * scale,
                                   bias=layers[-1].bias * scale)
  return layers


def ristretto(source: float_filter.FloatFilter,
              config: config_lib.QuantizationConfig,
              calibration: calibration_lib.Calibration, *, spare_bits: int = 0
              ) -> list[Lengths]:
  """Chooses lengths from the largest magnitudes: fl = bits - il.

  Args:
    source: the float filter.
    config: bit widths.
    calibration: what the largest outputs are taken from.
    spare_bits: by which the outputs are coarser than by the rule. The rule
      counts no sign there and so clamps the upper half of the range; 1 clamps
      nothing that was seen.
  """
  chosen, input_fl = [], source.depth
  largest = _largest_outputs(source, calibration)
  for i, (layer, top, bits) in enumerate(zip(
      scaled(source), largest, bits_of(source, config))):
    weight_fl = config.weight_bits - dfp.integer_length(
        np.abs(layer.kernel).max(), parameter=True)
    bias_fl = config.bias_bits - dfp.integer_length(
        np.abs(layer.bias).max(), parameter=True)
    output_fl = bits - spare_bits - dfp.integer_length(top, parameter=False)
    lengths = Lengths(weight_fl, bias_fl, output_fl)
    last = i == len(source.layers) - 1
    chosen.append(_bounded(lengths, input_fl, source.depth if last else None))
    input_fl = chosen[-1].output_fl
  return chosen


def _bounded(lengths, input_fl, depth=None):
  """Keeps lengths where the arithmetic is cheap and nothing is lost.

  A bias finer than the accumulator would shift that to the left, for digits
  far below the output's rounding.
  """
  output_fl = lengths.output_fl
  if depth is not None:
    output_fl = int(np.clip(
        output_fl, depth + integer_graph.MIN_RESIDUAL_BITS, depth + 8))
  weight_fl = min(lengths.weight_fl, output_fl + _MAX_OUTPUT_SHIFT - input_fl)
  accumulator_fl = weight_fl + input_fl
  bias_fl = int(np.clip(lengths.bias_fl, accumulator_fl - 30, accumulator_fl))
  return Lengths(weight_fl, bias_fl, output_fl)


def _largest_outputs(source, calibration):
  """The largest magnitude that each layer puts out."""
  layers = scaled(source)

  @tf.function(reduce_retracing=True)
  def run(reconstruction, qp):
    x = calibration_lib.network_input(reconstruction, qp, calibration.depth)
    found = []
    for layer in layers:
      x = tf.nn.conv2d(x, layer.kernel, 1, 'SAME') + layer.bias
      x = tf.nn.relu(x) if layer.relu else x
      found.append(tf.reduce_max(tf.abs(x)))
    return tf.stack(found)
  return np.max([run(reconstruction, qp) for reconstruction, qp, _ in
                 calibration_lib.parts(calibration)], axis=0)


def moved(source: float_filter.FloatFilter, lengths: Sequence[Lengths], i: int,
          name: str, direction: int) -> list[Lengths] | None:
  """Returns other lengths with one moved, or None where a limit is met.

  Args:
    source: the float filter.
    lengths: of every layer.
    i: number of the layer.
    name: 'weight_fl', 'bias_fl' or 'output_fl'.
    direction: 1 or -1.
  """
  trial = list(lengths)
  wanted = getattr(trial[i], name) + direction
  trial[i] = dataclasses.replace(trial[i], **{name: wanted})
  fl = source.depth
  for j in range(len(trial)):
    last = j == len(trial) - 1
    trial[j] = _bounded(trial[j], fl, source.depth if last else None)
    fl = trial[j].output_fl
  return trial if getattr(trial[i], name) == wanted else None


def fits(source: float_filter.FloatFilter,
         config: config_lib.QuantizationConfig,
         lengths: Sequence[Lengths]) -> bool:
  """Says whether no sum could leave int32."""
  try:
    to_integers(source, config, lengths)
  except errors.InputError:
    return False
  return True
