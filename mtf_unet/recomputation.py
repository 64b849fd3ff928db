"""Activations computed again in the backward pass instead of kept for it.

A convolution's result is kept; what follows up to the next convolution (norm,
activation, dropout, concatenation, pooling) and the 2x2x2 transposed one
together take a few per cent of a convolution's time, so the input that the
next filter gradient reads is made a second time. Of each layer there then
stays one tensor in place of two, and no mask and no concatenation at all.

TensorFlow runs what is ready and merges what is equal. So that neither brings
the second computation into the forward pass, the tensors that it starts from
are gated: they come through an identity that waits for the gradient which is
on its way down. XLA knows no such waiting; on a TPU it may merge the two.
"""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from mtf_unet.mtf_compat import mtf


class Recomputable(mtf.Operation):
  """An operation whose first output can be computed again.

  Attributes:
    recomputed: whether readers in the backward pass do so; `mark` sets it,
      after building and before the gradients are asked for.
    activations: of the inputs, the first so many are activations; the others
      are small and kept.
  """
  recomputed = False
  activations = 1

  def compute(self, lowering: mtf.Lowering, *blocks) -> tuple:
    """Returns the laid-out outputs for laid-out activations."""
    raise NotImplementedError(f'{type(self).__name__}.compute')

  def lower(self, lowering):
    blocks = map(lowering.tensors.get, self.inputs[:self.activations])
    for output, value in zip(self.outputs, self.compute(lowering, *blocks)):
      lowering.set_tensor_lowering(output, value)


def mark(operations: Iterable[mtf.Operation]) -> None:
  """Lets the results of those operations that can be be computed again."""
  for operation in operations:
    if isinstance(operation, Recomputable):
      operation.recomputed = True


def is_recomputed(tensor: mtf.Tensor) -> bool:
  """Whether readers in the backward pass compute a tensor again."""
  operation = tensor.operation
  return isinstance(operation, Recomputable) and operation.recomputed


def gated(mesh_impl: mtf.MeshImpl, blocks: Any, after: Any) -> Any:
  """Passes blocks on, but not before the blocks `after` are there.

  Args:
    mesh_impl: where both lie.
    blocks: laid-out tensor.
    after: laid-out tensor.
  """
  def local(x, after):
    with tf.control_dependencies([after]):
      return tf.identity(x)
  return mesh_impl.slicewise(local, blocks, after)


def again(lowering: mtf.Lowering, tensor: mtf.Tensor, after: Any) -> Any:
  """Returns the blocks of a tensor for a reader in the backward pass.

  Args:
    lowering: the lowering.
    tensor: any tensor of the forward pass.
    after: laid-out tensor; nothing is computed again before it is there.

  Returns:
    The kept blocks, or those computed again from the nearest kept ones.
  """
  if not is_recomputed(tensor):
    return lowering.tensors[tensor]
  operation = tensor.operation
  sources = [
      again(lowering, x, after) if is_recomputed(x)
      else gated(lowering.mesh_impl(operation), lowering.tensors[x], after)
      for x in operation.inputs[:operation.activations]]
  return operation.compute(lowering, *sources)[0]
