"""Evens out the channels of a filter before it is quantized.

One fractional length has to do for a whole tensor, so a channel with small
weights keeps few digits. A ReLU lets any positive factor through: dividing
output j of one layer by s_j and multiplying input j of the next by s_j
changes nothing in floats,

  s_j = sqrt(max |W_1[..., j]| / max |W_2[..., j, :]|)

makes the largest weights of both sides equal (Nagel et al., arXiv:1906.04721,
eq. 11). Not the paper's.
"""

import dataclasses

import numpy as np

from cnn_loopfilter import float_filter

# Each pair changes its neighbours; a few rounds settle it.
_ROUNDS = 20
# Times the largest weight of a finer length: above it a layer stays as it is.
_REACH = 1.25
# Largest 8-bit integer over its power of two.
_LARGEST = 127 / 128


def equalized(source: float_filter.FloatFilter) -> float_filter.FloatFilter:
  """Returns the same function with norms folded and channels evened out.

  A channel without weights on one side is left as it is.
  """
  layers = list(source.folded().layers)
  kernels = [layer.kernel.astype(np.float64) for layer in layers]
  biases = [layer.bias.astype(np.float64) for layer in layers]
  for _ in range(_ROUNDS):
    for i in range(len(layers) - 1):
      if not layers[i].relu:
        continue
      before = np.abs(kernels[i]).max(axis=(0, 1, 2))
      after = np.abs(kernels[i + 1]).max(axis=(0, 1, 3))
      used = (before > 0) & (after > 0)
      factor = np.sqrt(np.where(used, before, 1) / np.where(used, after, 1))
      kernels[i] /= factor
      biases[i] /= factor
      kernels[i + 1] *= factor[:, None]
  return _filter(source, layers, kernels, biases)


def within_finer_lengths(source: float_filter.FloatFilter
                         ) -> float_filter.FloatFilter:
  """Returns the same function with a digit more where little is missing.

  Where the largest weights of a layer stand just above what the next finer
  length holds in 8 bits, their channels are brought below it, and the layer
  behind takes the factor.

  Args:
    source: without norms, as `equalized` returns it.
  """
  layers = list(source.layers)
  kernels = [layer.kernel.astype(np.float64) for layer in layers]
  biases = [layer.bias.astype(np.float64) for layer in layers]
  for i in range(len(layers) - 1):
    if layers[i].relu:
      factor = _excess(kernels[i])
      kernels[i] /= factor
      biases[i] /= factor
      kernels[i + 1] *= factor[:, None]
  return _filter(source, layers, kernels, biases)


def _filter(source, layers, kernels, biases):
  return dataclasses.replace(source, layers=tuple(
      dataclasses.replace(layer, kernel=kernel.astype(np.float32),
                          bias=bias.astype(np.float32))
      for layer, kernel, bias in zip(layers, kernels, biases)))


def _excess(kernel):
  """Returns the factor of each channel that the finer length asks for."""
  largest = np.abs(kernel).max(axis=(0, 1, 2))
  top = largest.max()
  limit = 2.0 ** np.floor(np.log2(top)) * _LARGEST if top > 0 else 0
  if not 0 < top <= _REACH * limit:
    return np.ones_like(largest)
  return np.maximum(largest / limit, 1)
