"""Rounds kernels so that each one keeps its sum.

Neighbouring samples are alike, so a 3x3 kernel answers to little but its sum
and the small differences. Rounded weight by weight, the errors of nine weights
add up to an error of the sum that a flat area shows in full; the first layer
sees the samples themselves, and there it is most of what quantization costs
(docs/loopfilter.md). Here a kernel's sum is rounded once, and the weights
nearest to the other side are rounded there to make it up.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np

from cnn_loopfilter import config as config_lib
from cnn_loopfilter import dfp
from cnn_loopfilter import float_filter
from cnn_loopfilter import quantizer


def sum_preserving(kernel: np.ndarray, bits: int, fl: int) -> np.ndarray:
  """Rounds a kernel to multiples of 2^-fl, its sums over space with it.

  Args:
    kernel: [height, width, inputs, outputs].
    bits: width of the integers, sign included; values beyond are clamped, and
      their kernel's sum then is off.
    fl: fractional length.

  Returns:
    float32, same shape; less than 2^-fl from `kernel` where nothing is clamped.
  """
  height, width, inputs, outputs = kernel.shape
  exact = np.ldexp(kernel.astype(np.float64), fl).reshape(
      height * width, inputs, outputs)
  rounded = np.rint(exact)
  left = exact - rounded
  # Whole steps by which each sum is short.
  short = np.rint(left.sum(axis=0))
  # Place of each weight when those that were cut most come first.
  place = np.argsort(np.argsort(-left * np.sign(short), axis=0), axis=0)
  rounded += np.sign(short) * (place < np.abs(short))
  rounded = np.clip(rounded, *dfp.limits(bits))
  return np.ldexp(rounded, -fl).reshape(kernel.shape).astype(np.float32)


def rounded(source: float_filter.FloatFilter,
            config: config_lib.QuantizationConfig,
            lengths: Sequence[quantizer.Lengths]) -> float_filter.FloatFilter:
  """Rounds all kernels; biases and outputs stay.

  Args:
    source: the float filter.
    config: bit widths.
    lengths: of every layer.

  Returns:
    The filter with norms and the residual's scale folded in, which rounding
    with the same lengths leaves as it is.
  """
  layers = tuple(
      dataclasses.replace(layer, kernel=sum_preserving(
          layer.kernel, config.weight_bits, one.weight_fl))
      for layer, one in zip(quantizer.scaled(source), lengths))
  return dataclasses.replace(source, layers=layers, residual_scale=1.0)
