"""Chooses the integers: one fractional length for each tensor of each layer.

  Ristretto's rule from the largest magnitudes -> a search over the lengths,
  one step up or down at a time, for the smallest loss of PSNR

The paper's bit widths and lengths are not known; the search is ours.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses

import numpy as np
import tensorflow as tf

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
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Lengths:
  """Fractional lengths of one layer."""
  weight_fl: int
  bias_fl: int
  output_fl: int


@dataclasses.dataclass(frozen=True)
class Calibration:
  """Patches or planes that the lengths are chosen on.

  Attributes:
    reconstruction: int32 [count, height, width, 1].
    original: int32, same shape.
    qp: int32 [count].
    component: int32 [count], 0 Y, 1 U, 2 V.
    depth: bits of a sample.
  """
  reconstruction: np.ndarray
  original: np.ndarray
  qp: np.ndarray
  component: np.ndarray
  depth: int

  @property
  def classes(self) -> np.ndarray:
    """Numbers of the pairs of QP and component, int64 [count]."""
    pairs = np.stack([self.qp, self.component], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)


def from_batches(batches, count: int, depth: int) -> Calibration:
  """Gathers patches.

  Args:
    batches: as records.training_dataset gives them, as NumPy arrays.
    count: patches to take, or all where there are fewer.
    depth: bits of a sample.

  Raises:
    InputError: if there is none.
  """
  parts, left = [], count
  for batch in batches:
    parts.append({key: value[:left] for key, value in batch.items()})
    left -= len(parts[-1]['qp'])
    if left <= 0:
      break
  if not parts:
    raise errors.InputError('calibration: got no patch, expected some')
  whole = {key: np.concatenate([part[key] for part in parts])
           for key in parts[0]}
  return Calibration(
      *(np.rint(np.ldexp(whole[key].astype(np.float64), depth)).astype(
          np.int32) for key in ('reconstruction', 'original')),
      np.rint(whole['qp']).astype(np.int32),
      whole['component'].astype(np.int32), depth)


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
  """Folds norms and the residual's scale into kernels and biases."""
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
              calibration: Calibration, *, spare_bits: int = 0
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
    x, found = network_input(reconstruction, qp, calibration.depth), []
    for layer in layers:
      x = tf.nn.conv2d(x, layer.kernel, 1, 'SAME') + layer.bias
      x = tf.nn.relu(x) if layer.relu else x
      found.append(tf.reduce_max(tf.abs(x)))
    return tf.stack(found)
  return np.max([run(rec, qp) for rec, qp in _parts(calibration)], axis=0)


def _parts(calibration):
  for i in range(0, len(calibration.qp), _BATCH):
    yield (tf.constant(calibration.reconstruction[i:i + _BATCH]),
           tf.constant(calibration.qp[i:i + _BATCH]))


def network_input(reconstruction: tf.Tensor, qp: tf.Tensor,
                  depth: int) -> tf.Tensor:
  """float32 [batch, height, width, 2]: sample / 2^depth and qp / 64."""
  x = tf.cast(reconstruction, tf.float32) * 2.0 ** -depth
  plane = tf.cast(qp, tf.float32) / float_filter.QP_RANGE
  return tf.concat([x, tf.reshape(plane, [-1, 1, 1, 1]) * tf.ones_like(x)], 3)


class Judge:
  """Measures the PSNR that a choice of lengths costs on calibration patches.

  It simulates the integers in float32, which here and there differs from them
  in the last bit of an output; the exported filter is the exact one.

  Args:
    source: the float filter.
    config: bit widths.
    calibration: what to measure on.
  """

  def __init__(self, source: float_filter.FloatFilter,
               config: config_lib.QuantizationConfig,
               calibration: Calibration):
    self._source, self._config = source, config
    self._calibration = calibration
    self._layers = scaled(source)
    self._run = _simulation(self._layers, bits_of(source, config),
                            calibration.depth)
    self._before = None
    self._before = self._errors(None)

  def loss_db(self, lengths: Sequence[Lengths]) -> float:
    """Mean over QPs and components of PSNR(float) - PSNR(quantized), dB."""
    return float(np.mean(10 * np.log10(
        self._errors(lengths) / self._before)))

  def gain_db(self) -> float:
    """Mean over QPs and components of PSNR(float) - PSNR(no filter), dB."""
    c = self._calibration
    error = np.square(c.reconstruction.astype(np.float64) - c.original)
    return float(np.mean(10 * np.log10(
        self._per_class(error.sum(axis=(1, 2, 3))) / self._before)))

  def _per_class(self, errors_of_patches):
    # One millionth keeps a class without any error finite.
    return np.bincount(self._calibration.classes, errors_of_patches) + 1e-6

  def _errors(self, lengths):
    """Sum of squared errors of each class; None: of the float filter."""
    kernels = [layer.kernel for layer in self._layers]
    biases = [layer.bias for layer in self._layers]
    output_fl = np.zeros(len(kernels), np.float32)
    if lengths is not None:
      pairs = [(dfp.dequantize(
          dfp.quantize(layer.kernel, self._config.weight_bits, one.weight_fl),
          one.weight_fl), dfp.dequantize(
              dfp.quantize(layer.bias, self._config.bias_bits, one.bias_fl),
              one.bias_fl)) for layer, one in zip(self._layers, lengths)]
      kernels, biases = ([x.astype(np.float32) for x in part]
                         for part in zip(*pairs))
      output_fl = np.array([one.output_fl for one in lengths], np.float32)
    found, start = [], 0
    for rec, qp in _parts(self._calibration):
      original = self._calibration.original[start:start + _BATCH]
      start += _BATCH
      filtered = self._run(rec, qp, kernels, biases,
                           tf.constant(output_fl),
                           tf.constant(lengths is not None)).numpy()
      found.append(np.square(filtered.astype(np.float64) - original).sum(
          axis=(1, 2, 3)))
    return self._per_class(np.concatenate(found))


def _simulation(layers, bits, depth):
  """Makes the function of (samples, qp, kernels, biases, lengths, rounded)."""
  @tf.function(reduce_retracing=True)
  def run(reconstruction, qp, kernels, biases, output_fl, rounded):
    x = network_input(reconstruction, qp, depth)
    for i, layer in enumerate(layers):
      x = tf.nn.bias_add(tf.nn.conv2d(x, kernels[i], 1, 'SAME'), biases[i])
      x = tf.nn.relu(x) if layer.relu else x
      x = tf.cond(rounded,
                  lambda x=x, i=i: rounded_output(x, bits[i], output_fl[i]),
                  lambda x=x: x)
    samples = tf.cast(reconstruction, tf.float32) + x * 2.0 ** depth
    # Not rounded to whole samples: that error is the same for all choices
    # and hides what is to be seen.
    return tf.clip_by_value(samples, 0.0, 2.0 ** depth - 1)
  return run


def rounded_output(x: tf.Tensor, bits: int, fl: tf.Tensor) -> tf.Tensor:
  """Rounds to multiples of 2^-fl, half to even, and clamps; float32."""
  scale = tf.pow(2.0, tf.cast(fl, tf.float32))
  low, high = dfp.limits(bits)
  return tf.clip_by_value(tf.round(x * scale), low, high) / scale


def best_start(judge: Judge, source: float_filter.FloatFilter,
               config: config_lib.QuantizationConfig,
               calibration: Calibration) -> list[Lengths]:
  """Returns the rule's lengths, or those with a spare bit where better.

  Raises:
    InputError: if a sum could leave int32 with both; see integer_graph.
  """
  starts = [ristretto(source, config, calibration, spare_bits=n)
            for n in (0, 1)]
  fitting = [one for one in starts if _fits(source, config, one)]
  if not fitting:
    to_integers(source, config, starts[1])
  return min(fitting, key=judge.loss_db)


def search(judge: Judge, source: float_filter.FloatFilter,
           config: config_lib.QuantizationConfig, start: Sequence[Lengths], *,
           sweeps: int = 2,
           on_layer: Callable[[int, int, str], None] | None = None
           ) -> tuple[list[Lengths], float]:
  """Moves one length at a time by one, as long as the PSNR rises.

  Args:
    judge: what a choice costs.
    source: the float filter.
    config: bit widths.
    start: where the search begins.
    sweeps: times that all layers are gone through, at most.
    on_layer: told of layers done, of how many, and the loss so far.

  Returns:
    The lengths, and their loss in dB.
  """
  best, loss = list(start), judge.loss_db(start)
  total, done = sweeps * len(best), 0
  for _ in range(sweeps):
    before = loss
    for i in range(len(best)):
      for name in ('output_fl', 'weight_fl', 'bias_fl'):
        best, loss = _climb(judge, source, config, best, loss, i, name)
      done += 1
      if on_layer is not None:
        on_layer(done, total, f'{loss:.4f} dB lost')
    if before - loss < 1e-4:
      break
  return best, loss


def _climb(judge, source, config, best, loss, i, name):
  for direction in (1, -1):
    while True:
      trial = _moved(source, best, i, name, direction)
      if trial is None or not _fits(source, config, trial):
        break
      found = judge.loss_db(trial)
      if found >= loss:
        break
      best, loss = trial, found
  return best, loss


def _moved(source, lengths, i, name, direction):
  """Returns other lengths with one moved, or None where a limit is met."""
  trial = list(lengths)
  wanted = getattr(trial[i], name) + direction
  trial[i] = dataclasses.replace(trial[i], **{name: wanted})
  fl = source.depth
  for j in range(len(trial)):
    last = j == len(trial) - 1
    trial[j] = _bounded(trial[j], fl, source.depth if last else None)
    fl = trial[j].output_fl
  return trial if getattr(trial[i], name) == wanted else None


def _fits(source, config, lengths):
  try:
    to_integers(source, config, lengths)
  except errors.InputError:
    return False
  return True
