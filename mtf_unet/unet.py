"""The 3D UNet (arXiv:1909.03108 and its reference code), images to logits.

  encoder, level l:  n x [3x3x3 convolution, base 2^l filters; norm; leaky
                     ReLU; dropout], then 2x2x2 max pooling but at the last
  decoder, level l:  2x2x2 transposed convolution; dropout; concatenate
                     [up, skip]; the same block
  head:              1x1x1 convolution with bias to the classes
  deep supervision:  in training such a head on coarser levels of the decoder

`architecture` lists the layers; each is built here by the method of its kind.
In 2-D mode a tensor is [batch, x, y, channels] and every window has two
sides. Tensors are [batch, *spatial, channels] throughout; the layout may split
batch and every spatial dim.
"""

import dataclasses

import tensorflow as tf

from mtf_unet import architecture
from mtf_unet import config as config_lib
from mtf_unet import convolution
from mtf_unet import dropout as dropout_lib
from mtf_unet import joining
from mtf_unet import normalization
from mtf_unet import pooling
from mtf_unet import recomputation
from mtf_unet.mtf_compat import mtf


@dataclasses.dataclass
class Network:
  """Builds the network into a Mesh-TensorFlow graph.

  Attributes:
    config: the architecture.
    num_classes: of the logits.
    dropout: where masks come from in training; None to predict.
    updates: after building, the operations that move batch norm's averages.
    coarse_logits: after building, the logits of deep supervision's levels 1, 2
      and so on; none to predict.
  """
  config: config_lib.NetworkConfig
  num_classes: int
  dropout: dropout_lib.Dropout | None = None
  updates: list[mtf.Operation] = dataclasses.field(default_factory=list)
  coarse_logits: list[mtf.Tensor] = dataclasses.field(default_factory=list)

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
    self._skips = {}
    build = {architecture.CONVOLUTION: self._convolution,
             architecture.POOL: self._pool, architecture.UP: self._up,
             architecture.JOIN: self._join, architecture.HEAD: self._head}
    layers = (architecture.layers if self.dropout is None
              else architecture.training_layers)
    x = mtf.cast(images, self._variable_dtype.activation_dtype)
    for layer in layers(self.config, x.shape.dims[-1].size, self.num_classes):
      first = len(x.graph.operations)
      result = build[layer.kind](x, layer)
      if layer.level in self.config.recompute:
        recomputation.mark(x.graph.operations[first:])
      if layer.is_branch:
        self.coarse_logits.insert(0, result)
      else:
        x = result
    return x

  def _convolution(self, x, layer):
    with tf.compat.v1.variable_scope(layer.name):
      x = convolution.convolution(
          x, mtf.Dimension(f'{layer.name}_channels', layer.outputs),
          kernel_size=layer.kernel, variable_dtype=self._variable_dtype)
      return normalization.normalize(x, self._norm,
                                     self.dropout if layer.drops else None)

  def _pool(self, x, layer):
    self._skips[layer.level - 1] = x
    return pooling.max_pool(x, [2] * self.config.dimensions)

  def _up(self, x, layer):
    with tf.compat.v1.variable_scope(layer.name):
      x = convolution.transposed_convolution(
          x, mtf.Dimension(f'{layer.name}_channels', layer.outputs),
          kernel_size=layer.kernel, strides=layer.stride,
          variable_dtype=self._variable_dtype)
    return dropout_lib.dropout(x, self.dropout) if self.dropout else x

  def _join(self, x, layer):
    return joining.join(x, self._skips.pop(layer.level))

  def _head(self, x, layer):
    classes = mtf.Dimension('classes', layer.outputs)
    with tf.compat.v1.variable_scope(layer.name):
      x = convolution.convolution(x, classes, kernel_size=layer.kernel,
                                  variable_dtype=self._variable_dtype)
      bias = mtf.get_variable(
          x.mesh, 'bias', mtf.Shape([classes]), dtype=tf.float32,
          initializer=tf.compat.v1.zeros_initializer())
    return mtf.cast(x, tf.float32) + bias
