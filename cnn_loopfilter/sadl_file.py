"""Writes models that SADL loads, version SADL0004.

The layout is that of the public sources (its ONNX converter and `load`), all
int32 little endian but the data:

  "SADL0004", 2 (int16), number of layers,
  number of inputs, their ids, number of outputs, their ids,
  for each layer: id, operation, length of name, name, number of inputs, ids,
    and by operation
    Placeholder: number of axes, axes, quantizer
    Const:       number of axes, axes, 2 (int16), quantizer, data int16
    Conv2D:      4, strides, 4, pads, groups, quantizer
    BiasAdd, Relu: nothing
"""

import os
import struct

from cnn_loopfilter import atomic_file
from cnn_loopfilter import sadl

MAGIC = b'SADL0004'
_INT16 = 2
_CONST, _PLACEHOLDER, _BIAS_ADD, _RELU, _CONV2D = 1, 2, 4, 8, 9


def save(model: sadl.Model, path: str | os.PathLike, *, height: int = 64,
         width: int = 64) -> None:
  """Writes a model.

  Args:
    model: the filter.
    path: of the file.
    height: of the input, which SADL takes as a hint; so width.
    width: samples.
  """
  writer = _Writer()
  x = writer.add(_PLACEHOLDER, 'input', (), _ints(
      4, 1, height, width, 2, model.depth))
  for i, layer in enumerate(model.layers):
    radius = layer.weights.shape[0] // 2
    weights = writer.add_const(f'weights_{i}', layer.weights, layer.weight_q)
    x = writer.add(_CONV2D, f'conv_{i}', (x, weights), _ints(
        4, 1, 1, 1, 1, 4, radius, radius, radius, radius, 1, model.conv_q(i)))
    biases = writer.add_const(f'biases_{i}', layer.biases, layer.output_q)
    x = writer.add(_BIAS_ADD, f'bias_add_{i}', (x, biases))
    if layer.relu:
      x = writer.add(_RELU, f'relu_{i}', (x,))
  with atomic_file.replacing(path) as stream:
    stream.write(MAGIC + _ints(_INT16, writer.count, 1, 0, 1, x)
                 + b''.join(writer.parts))


def _ints(*numbers):
  return struct.pack(f'<{len(numbers)}i', *numbers)


class _Writer:
  """Layers in order; the id of one is its place."""

  def __init__(self):
    self.count, self.parts = 0, []

  def add(self, operation, name, inputs, more=b''):
    """Adds a layer; returns its id."""
    self.parts.append(
        _ints(self.count, operation, len(name)) + name.encode()
        + _ints(len(inputs), *inputs) + more)
    self.count += 1
    return self.count - 1

  def add_const(self, name, array, quantizer):
    return self.add(_CONST, name, (), _ints(array.ndim, *array.shape, _INT16,
                                            quantizer)
                    + array.astype('<i2').tobytes())
