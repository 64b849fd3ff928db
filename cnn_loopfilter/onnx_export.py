"""Writes an exported filter as an ONNX model that gives the same bits.

    reconstruction, qp -> concat -> [Conv, Round, Clip] * layers
      -> + reconstruction -> Round, Clip -> filtered

ONNX has no convolution of more than 8-bit integers, and its shifts have no
sign. So the layers are float32 convolutions of integers, each proven exact by
`exact_float`; a layer whose sums leave 24 bits convolves the parts of its
activations and joins them in float64, which holds all of int32. `Round` is half
to even by the ONNX specification, and every scale is a power of two. So no
optimization of a runtime can change a bit, unless it replaces the convolution
by one that rounds (Winograd, TF32, float16).
"""

import os

import numpy as np
import onnx
from onnx import helper
from onnx import numpy_helper

from cnn_loopfilter import atomic_file
from cnn_loopfilter import exact_float
from cnn_loopfilter import integer_graph

_OPSET = 17
_IR_VERSION = 8


def save(filter_: integer_graph.IntegerFilter,
         path: str | os.PathLike) -> None:
  """Writes the model of `model` to a file."""
  content = model(filter_).SerializeToString(deterministic=True)
  with atomic_file.replacing(path) as stream:
    stream.write(content)


def model(filter_: integer_graph.IntegerFilter) -> onnx.ModelProto:
  """Makes the model.

  Its inputs are `reconstruction`, int32 [batch, height, width, 1], 0 to
  2^depth - 1, and `qp`, int32 [batch], 0 to 63; its output is `filtered`, int32
  of the shape and range of `reconstruction`. Ranges are not checked.

  Raises:
    InputError: if a layer's weights are too large for any exact form.
  """
  graph = _Graph()
  samples = graph.add('Transpose', 'reconstruction', perm=[0, 3, 1, 2])
  x = _inputs(graph, samples, filter_.depth)
  for layer, step in zip(filter_.layers, filter_.plan):
    bits, count = exact_float.parts(layer, step)
    if count == 1 and step.high < exact_float.EXACT:
      x = _float_layer(graph, x, layer, step)
    else:
      x = _split_layer(graph, x, layer, step, bits, count)
  _join(graph, samples, x, filter_)
  made = helper.make_model(
      graph.proto(), ir_version=_IR_VERSION, producer_name='cnn_loopfilter',
      opset_imports=[helper.make_opsetid('', _OPSET)])
  onnx.checker.check_model(made, full_check=True)
  return made


class _Graph:
  """Nodes in order; tensors are named by their place."""

  def __init__(self):
    self._nodes, self._constants = [], []

  def add(self, kind, *inputs, output=None, **attributes):
    """Adds a node; returns the name of its output."""
    output = output or f't{len(self._nodes)}'
    self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
    return output

  def constant(self, values, dtype):
    name = f'c{len(self._constants)}'
    self._constants.append(
        numpy_helper.from_array(np.asarray(values, dtype), name))
    return name

  def cast(self, x, dtype):
    return self.add('Cast', x, to=helper.np_dtype_to_tensor_dtype(
        np.dtype(dtype)))

  def scaled(self, x, factor, dtype):
    return self.add('Mul', x, self.constant(factor, dtype))

  def clipped(self, x, low, high, dtype):
    return self.add('Clip', x, self.constant(low, dtype),
                    self.constant(high, dtype))

  def convolved(self, x, kernel, *biases):
    """Correlates float32, padded with zeros; kernel [k, k, in, out]."""
    radius = kernel.shape[0] // 2
    return self.add(
        'Conv', x, self.constant(kernel.transpose(3, 2, 0, 1), np.float32),
        *(self.constant(bias, np.float32) for bias in biases),
        pads=[radius] * 4)

  def proto(self):
    plane = ['batch', 'height', 'width', 1]
    integer = onnx.TensorProto.INT32
    return helper.make_graph(
        self._nodes, 'filter',
        [helper.make_tensor_value_info('reconstruction', integer, plane),
         helper.make_tensor_value_info('qp', integer, ['batch'])],
        [helper.make_tensor_value_info('filtered', integer, plane)],
        self._constants)


def _inputs(graph, samples, depth):
  """The samples and the plane of the QP, float32 [batch, 2, height, width]."""
  qp = graph.add('Mul', 'qp', graph.constant(
      2 ** (depth - integer_graph.QP_BITS), np.int32))
  qp = graph.add('Reshape', qp, graph.constant([-1, 1, 1, 1], np.int64))
  plane = graph.add('Expand', qp, graph.add('Shape', samples))
  return graph.cast(graph.add('Concat', samples, plane, axis=1), np.float32)


def _float_layer(graph, x, layer, step):
  """A layer whose sums float32 holds."""
  x = graph.convolved(graph.cast(x, np.float32),
                      *exact_float.scaled(layer, step))
  return graph.clipped(graph.add('Round', x), step.low, step.high, np.float32)


def _split_layer(graph, x, layer, step, bits, count):
  """A layer whose activations are taken apart, and its sums joined."""
  x, total = graph.cast(x, np.float64), graph.constant(
      np.ldexp(layer.biases.astype(np.float64)[:, None, None],
               step.bias_shift - step.output_shift), np.float64)
  scale = step.accumulator_shift - step.output_shift
  for i in range(count):
    part = x
    if i < count - 1:
      x = graph.add('Floor', graph.scaled(x, 2.0 ** -bits, np.float64))
      part = graph.add('Sub', part, graph.scaled(x, 2.0 ** bits, np.float64))
    part = graph.convolved(graph.cast(part, np.float32), layer.weights)
    part = graph.scaled(graph.cast(part, np.float64), 2.0 ** (scale + i * bits),
                        np.float64)
    total = graph.add('Add', total, part)
  return graph.clipped(graph.add('Round', total), step.low, step.high,
                       np.float64)


def _join(graph, samples, residual, filter_):
  """Adds the residual to the samples, rounds once, clips."""
  residual = graph.scaled(graph.cast(residual, np.float64),
                          2.0 ** -filter_.residual_bits, np.float64)
  total = graph.add('Add', graph.cast(samples, np.float64), residual)
  total = graph.clipped(graph.add('Round', total), 0, 2 ** filter_.depth - 1,
                        np.float64)
  graph.add('Transpose', graph.cast(total, np.int32), output='filtered',
            perm=[0, 2, 3, 1])
