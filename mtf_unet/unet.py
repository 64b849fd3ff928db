"""The 3D UNet (arXiv:1909.03108 and its reference code), images to logits.

  encoder, level l:  n x [3x3x3 convolution, base 2^l filters; norm; leaky
                     ReLU; dropout], then 2x2x2 max pooling but at the last
  decoder, level l:  2x2x2 transposed convolution; dropout; concatenate
                     [up, skip]; the same block
  head:              1x1x1 convolution with bias to the classes

In 2-D mode a tensor is [batch, x, y, channels] and every window has two
sides. Tensors are [batch, *spatial, channels] throughout; the layout may split
batch and every spatial dim.
"""

import dataclasses

import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import convolution
from mtf_unet import dropout as dropout_lib
from mtf_unet import normalization
from mtf_unet import pooling
from mtf_unet.mtf_compat import mtf


@dataclasses.dataclass
class Network:
  """Builds the network into a Mesh-TensorFlow graph.

  Attributes:
    config: the architecture.
    num_classes: of the logits.
    dropout: where masks come from in training; None to predict.
    updates: after building, the operations that move batch norm's averages.
  """
  config: config_lib.NetworkConfig
  num_classes: int
  dropout: dropout_lib.Dropout | None = None
  updates: list[mtf.Operation] = dataclasses.field(default_factory=list)

  def __post_init__(self):
    dtype = tf.as_dtype(self.config.activation_dtype)
    self._variable_dtype = mtf.VariableDType(tf.float32, tf.float32, dtype)
    self._norm = normalization.Normalization(
        kind=self.config.normalization, training=self.dropout is not None,
        momentum=self.config.batch_norm_momentum, epsilon=self.config.epsilon,
        slope=self.config.leaky_relu_slope, add_update=self.updates.append)

  def logits(self, images: mtf.Tensor) -> mtf.Tensor:
    """Maps images to logits.

    Args:
      images: float [batch, *spatial, channels]; every spatial dim is a
        multiple of 2^(levels - 1) times its blocks.

    Returns:
      float32 [batch, *spatial, classes].
    """
    rank = self.config.dimensions
    if len(images.shape.dims) != rank + 2:
      raise ValueError(
          f'images: got {images.shape}, expected batch, {rank} spatial dims '
          'and channels')
    x = mtf.cast(images, self._variable_dtype.activation_dtype)
    skips = []
    for level in range(self.config.levels):
      if level:
        x = _halved(x)
      x = self._block(x, level, f'encoder_{level}', first=level == 0)
      skips.append(x)
    for level in reversed(range(self.config.levels - 1)):
      x = self._up(x, level)
      x = mtf.concat([x, _renamed(skips[level], x)], x.shape.dims[-1].name)
      x = self._block(x, level, f'decoder_{level}')
    return self._head(x)

  def _filters(self, name, level):
    return mtf.Dimension(name, self.config.base_filters * 2 ** level)

  def _block(self, x, level, scope, first=False):
    for i in range(self.config.convolutions_per_level):
      name = f'{scope}_{i}'
      with tf.compat.v1.variable_scope(name):
        x = convolution.convolution(
            x, self._filters(f'{name}_channels', level), kernel_size=3,
            variable_dtype=self._variable_dtype)
        # The reference drops nothing after its very first convolution.
        dropout = None if first and i == 0 else self.dropout
        x = normalization.normalize(x, self._norm, dropout)
    return x

  def _up(self, x, level):
    name = f'up_{level}'
    with tf.compat.v1.variable_scope(name):
      x = convolution.transposed_convolution(
          x, self._filters(f'{name}_channels', level), kernel_size=2,
          strides=2, variable_dtype=self._variable_dtype)
    return dropout_lib.dropout(x, self.dropout) if self.dropout else x

  def _head(self, x):
    classes = mtf.Dimension('classes', self.num_classes)
    with tf.compat.v1.variable_scope('head'):
      x = convolution.convolution(x, classes, kernel_size=1,
                                  variable_dtype=self._variable_dtype)
      bias = mtf.get_variable(
          x.mesh, 'bias', mtf.Shape([classes]), dtype=tf.float32,
          initializer=tf.compat.v1.zeros_initializer())
    return mtf.cast(x, tf.float32) + bias


def _halved(x):
  """Halves every spatial dim by max pooling."""
  return pooling.max_pool(x, [2] * (len(x.shape.dims) - 2))


def _renamed(x, like):
  """Gives x's channel dim the name that the other tensor's has."""
  return mtf.rename_dimension(x, x.shape.dims[-1].name,
                              like.shape.dims[-1].name)
