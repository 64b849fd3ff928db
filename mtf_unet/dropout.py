"""Dropout whose masks depend on seed, layer, step and block alone.

No random state is kept, so a resumed training drops what the uninterrupted
one would have dropped, and two blocks never drop the same pattern.
"""

import dataclasses
import math
import zlib

import tensorflow as tf

from mtf_unet import recomputation
from mtf_unet.mtf_compat import mtf


@dataclasses.dataclass(frozen=True)
class Dropout:
  """Where the masks come from.

  Attributes:
    keep: probability that a value survives; survivors are scaled by 1 / keep.
    seed: of the experiment.
    step: int64 scalar tf.Tensor, the global step.
  """
  keep: float
  seed: int
  step: tf.Tensor

  @property
  def active(self) -> bool:
    """Whether anything is dropped."""
    return self.keep < 1.0

  def threshold(self) -> tuple[tf.DType, int]:
    """Random bits of this type below this number keep a value.

    Bytes suffice where keep is a multiple of 1/256; else two bytes are drawn,
    which hits any keep to within 1e-5.
    """
    if (self.keep * 256).is_integer():
      return tf.uint8, int(self.keep * 256)
    return tf.uint16, max(round(self.keep * 65536), 1)

  @property
  def scale(self) -> float:
    """What makes up for the dropped values on average."""
    dtype, threshold = self.threshold()
    return 2 ** (8 * dtype.size) / threshold

  def masks(self, mesh_impl, x, shape: mtf.Shape, layer: str):
    """Draws the bool masks of a tensor, laid out as it is.

    Args:
      mesh_impl: where the tensor lies.
      x: the laid out tensor; nothing is drawn before it is known, or all
        masks of a step would be drawn, and kept, from its beginning on.
      shape: of the whole tensor.
      layer: a name of its own for every call in one step.
    """
    slice_shape = mesh_impl.slice_shape(shape)
    layer_seed = [self.seed, zlib.crc32(layer.encode()) & 0x7fffffff]
    dtype, threshold = self.threshold()
    # Computed once for all blocks; a block only takes its row.
    seeds, limit = mesh_impl.slicewise(lambda: (
        _block_seeds(layer_seed, self.step, mesh_impl.size),
        tf.constant(threshold, dtype)))

    def draw(x, block, seeds, limit):
      with tf.control_dependencies([x]):
        return _random_below(slice_shape, tf.gather(seeds, block), limit)
    return mesh_impl.slicewise(
        draw, x, mesh_impl.laid_out_slice_num(shape), seeds, limit)


def _block_seeds(layer_seed, step, count):
  """A seed [2] for each of `count` blocks."""
  seed = tf.random.experimental.stateless_fold_in(layer_seed, step)
  return tf.random.stateless_uniform([count, 2], seed, minval=None,
                                     maxval=None, dtype=tf.int32)


def _random_below(shape, seed, limit):
  """Booleans, each true with probability limit / 2^bits.

  One 32-bit word of the generator serves two or four voxels: drawing is what
  dropout costs.
  """
  count = math.prod(shape)
  words = tf.random.stateless_uniform(
      [-(-count * limit.dtype.size // 4)], seed, minval=None, maxval=None,
      dtype=tf.uint32)
  bits = tf.bitcast(words, limit.dtype)
  if bits.shape.num_elements() > count:
    bits = tf.reshape(bits, [-1])[:count]
  return tf.reshape(bits, shape) < limit


class DropoutOperation(recomputation.Recomputable):
  """y = x * mask / keep; the mask is a second output."""

  def __init__(self, x, dropout):
    super().__init__([x], name='dropout')
    self._dropout = dropout
    self._outputs = [mtf.Tensor(self, x.shape, x.dtype),
                     mtf.Tensor(self, x.shape, tf.bool)]

  def gradient(self, grad_ys):
    mask = mask_for_gradient(self, self._dropout, grad_ys[0])
    return [MaskOperation(grad_ys[0], mask, self._dropout.scale).outputs[0]]

  def compute(self, lowering, *blocks):
    mesh_impl, (x,) = lowering.mesh_impl(self), blocks
    masks = self._dropout.masks(mesh_impl, x, self.inputs[0].shape, self.name)
    return mesh_impl.slicewise(
        lambda x, mask: apply_mask(x, mask, self._dropout.scale), x,
        masks), masks


class MaskAgainOperation(mtf.Operation):
  """Draws the masks of a layer once more when a gradient has come down."""

  def __init__(self, dy, dropout, layer):
    super().__init__([dy], name='mask_again')
    self._dropout, self._layer = dropout, layer
    self._outputs = [mtf.Tensor(self, dy.shape, tf.bool)]

  @property
  def has_gradient(self):
    return False

  def lower(self, lowering):
    dy, = self.inputs
    lowering.set_tensor_lowering(self.outputs[0], self._dropout.masks(
        lowering.mesh_impl(self), lowering.tensors[dy], dy.shape,
        self._layer))


def mask_for_gradient(operation: recomputation.Recomputable, how: Dropout,
                      dy: mtf.Tensor) -> mtf.Tensor:
  """Returns the mask that an operation drew: its second output, or anew.

  Args:
    operation: drew it under its own name for a tensor of dy's shape.
    how: where masks come from.
    dy: the gradient to the operation's result.
  """
  if operation.recomputed:
    return MaskAgainOperation(dy, how, operation.name).outputs[0]
  return operation.outputs[1]


class MaskOperation(mtf.Operation):
  """y = x * mask * scale."""

  def __init__(self, x, mask, scale):
    super().__init__([x, mask], name='mask')
    self._scale = scale
    self._outputs = [mtf.Tensor(self, x.shape, x.dtype)]

  def gradient(self, grad_ys):
    return [MaskOperation(grad_ys[0], self.inputs[1], self._scale).outputs[0],
            None]

  def lower(self, lowering):
    lowering.set_tensor_lowering(
        self.outputs[0], lowering.mesh_impl(self).slicewise(
            lambda x, mask: apply_mask(x, mask, self._scale),
            *map(lowering.tensors.get, self.inputs)))


def apply_mask(x: tf.Tensor, mask: tf.Tensor, scale: float) -> tf.Tensor:
  """Zeroes x where the mask is false and scales the rest."""
  # The dependency keeps TensorFlow from holding masks as floats all along.
  with tf.control_dependencies([x]):
    factor = tf.cast(mask, x.dtype)
  x = x * factor
  return x if scale == 1.0 else x * tf.cast(scale, x.dtype)


def dropout(x: mtf.Tensor, how: Dropout) -> mtf.Tensor:
  """Drops values of x, or returns x itself where keep is 1."""
  return DropoutOperation(x, how).outputs[0] if how.active else x
