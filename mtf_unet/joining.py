"""Concatenation of two activations along their channels.

Channels are never split, so nothing is exchanged. The two may name their
channel dims differently, as Mesh-TensorFlow's own concatenation may not.
"""

import tensorflow as tf

from mtf_unet import recomputation
from mtf_unet.mtf_compat import mtf


class JoinOperation(recomputation.Recomputable):
  """y = [a, b] along the channels."""

  activations = 2

  def __init__(self, a, b):
    super().__init__([a, b], name='join')
    *dims, channels = a.shape.dims
    size = channels.size + b.shape.dims[-1].size
    self._outputs = [mtf.Tensor(self, mtf.Shape(
        [*dims, mtf.Dimension(channels.name, size)]), a.dtype)]

  def gradient(self, grad_ys):
    return SplitOperation(grad_ys[0], [x.shape for x in self.inputs]).outputs

  def compute(self, lowering, *blocks):
    return (lowering.mesh_impl(self).slicewise(
        lambda *parts: tf.concat(parts, -1), *blocks),)


class SplitOperation(mtf.Operation):
  """The inverse: one tensor into two, the gradient of a join."""

  def __init__(self, y, shapes):
    super().__init__([y], name='split_channels')
    self._outputs = [mtf.Tensor(self, shape, y.dtype) for shape in shapes]

  @property
  def has_gradient(self):
    return False

  def lower(self, lowering):
    sizes = [t.shape.dims[-1].size for t in self.outputs]
    parts = lowering.mesh_impl(self).slicewise(
        lambda y: tuple(tf.split(y, sizes, -1)),
        lowering.tensors[self.inputs[0]])
    for output, part in zip(self.outputs, parts):
      lowering.set_tensor_lowering(output, part)


def join(a: mtf.Tensor, b: mtf.Tensor) -> mtf.Tensor:
  """Joins two activations.

  Args:
    a: [batch, *spatial, channels].
    b: the same but for its channels.

  Returns:
    [batch, *spatial, channels of a and then of b]; the channel dim has the
    name that a's has.

  Raises:
    ValueError: where other dims than the channels differ.
  """
  if a.shape.dims[:-1] != b.shape.dims[:-1]:
    raise ValueError(
        f'b: got {b.shape}, expected the batch and spatial dims of {a.shape}')
  return JoinOperation(a, b).outputs[0]
