"""Searches for fractional lengths that lose little PSNR.

One length moves by one at a time, as long as the PSNR of calibration patches
rises. The paper's lengths and how they were found are not known; this is ours.
"""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from cnn_loopfilter import calibration as calibration_lib
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import dfp
from cnn_loopfilter import float_filter
from cnn_loopfilter import quantizer


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
               calibration: calibration_lib.Calibration):
    self._config = config
    self._calibration = calibration
    self._layers = quantizer.scaled(source)
    self._run = _simulation(self._layers, quantizer.bits_of(source, config),
                            calibration.depth)
    self._before = self._errors(None)

  def loss_db(self, lengths: Sequence[quantizer.Lengths]) -> float:
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
    found = []
    for reconstruction, qp, original in calibration_lib.parts(
        self._calibration):
      filtered = self._run(reconstruction, qp, kernels, biases,
                           tf.constant(output_fl),
                           tf.constant(lengths is not None)).numpy()
      found.append(np.square(filtered.astype(np.float64) - original).sum(
          axis=(1, 2, 3)))
    return self._per_class(np.concatenate(found))


def _simulation(layers, bits, depth):
  """Makes the function of (samples, qp, kernels, biases, lengths, rounded)."""
  @tf.function(reduce_retracing=True)
  def run(reconstruction, qp, kernels, biases, output_fl, rounded):
    x = calibration_lib.network_input(reconstruction, qp, depth)
    for i, layer in enumerate(layers):
      x = tf.nn.bias_add(tf.nn.conv2d(x, kernels[i], 1, 'SAME'), biases[i])
      x = tf.nn.relu(x) if layer.relu else x
      x = tf.cond(rounded,
                  lambda x=x, i=i: _rounded(x, bits[i], output_fl[i]),
                  lambda x=x: x)
    samples = tf.cast(reconstruction, tf.float32) + x * 2.0 ** depth
    # Not rounded to whole samples: that error is the same for all choices
    # and hides what is to be seen.
    return tf.clip_by_value(samples, 0.0, 2.0 ** depth - 1)
  return run


def _rounded(x: tf.Tensor, bits: int, fl: tf.Tensor) -> tf.Tensor:
  """Rounds to multiples of 2^-fl, half to even, and clamps; float32."""
  scale = tf.pow(2.0, tf.cast(fl, tf.float32))
  low, high = dfp.limits(bits)
  return tf.clip_by_value(tf.round(x * scale), low, high) / scale


def best_start(judge: Judge, source: float_filter.FloatFilter,
               config: config_lib.QuantizationConfig,
               calibration: calibration_lib.Calibration
               ) -> list[quantizer.Lengths]:
  """Returns the rule's lengths, or those with a spare bit where better.

  Raises:
    InputError: if a sum could leave int32 with both; see integer_graph.
  """
  starts = [quantizer.ristretto(source, config, calibration, spare_bits=n)
            for n in (0, 1)]
  fitting = [one for one in starts if quantizer.fits(source, config, one)]
  if not fitting:
    quantizer.to_integers(source, config, starts[1])
  return min(fitting, key=judge.loss_db)


def search(judge: Judge, source: float_filter.FloatFilter,
           config: config_lib.QuantizationConfig,
           start: Sequence[quantizer.Lengths], *, sweeps: int = 2,
           on_layer: Callable[[int, int, str], None] | None = None
           ) -> tuple[list[quantizer.Lengths], float]:
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
      trial = quantizer.moved(source, best, i, name, direction)
      if trial is None or not quantizer.fits(source, config, trial):
        break
      found = judge.loss_db(trial)
      if found >= loss:
        break
      best, loss = trial, found
  return best, loss
