"""ResNet-50 v1.5 and DavidNet: images to logits."""

import tensorflow as tf

from lamb.images import config
from lamb.images import layers as layers_lib

_BLOCKS = (3, 4, 6, 3)
# A bottleneck's last convolution is so much wider than its others.
_EXPANSION = 4
_DENSE_DEVIATION = 0.01
# DavidNet's logits are the last layer's output times this.
_LOGIT_SCALE = 0.125


def logits(settings: config.NetworkConfig, num_classes: int,
           layers: layers_lib.Layers, images: tf.Tensor) -> tf.Tensor:
  """Builds the network that the settings name.

  Args:
    settings: name and width.
    num_classes: columns of the result.
    layers: makes the variables.
    images: `[batch, height, width, 3]`, normalised.

  Returns:
    `[batch, num_classes]` float32.
  """
  build = {'resnet50': resnet50, 'davidnet': davidnet}[settings.name]
  return build(layers, images, num_classes, settings.width)


def resnet50(layers: layers_lib.Layers, images: tf.Tensor, num_classes: int,
             width: int = 64) -> tf.Tensor:
  """ResNet-50 (arXiv:1512.03385), v1.5: a stage strides in its 3x3.

  The last norm of each bottleneck starts at scale 0 (arXiv:1706.02677).

  Args:
    layers: makes the variables.
    images: `[batch, height, width, 3]`.
    num_classes: 1000 for ImageNet.
    width: filters of the first convolution.

  Returns:
    Logits `[batch, num_classes]`.
  """
  x = layers.convolution(images, width, 7, 2)
  x = tf.nn.relu(layers.batch_norm(x))
  x = tf.nn.max_pool2d(x, 3, 2, 'SAME')
  for stage, blocks in enumerate(_BLOCKS):
    for block in range(blocks):
      stride = 2 if stage and not block else 1
      x = _bottleneck(layers, x, width * 2 ** stage, stride,
                      project=not block)
  x = tf.reduce_mean(tf.cast(x, tf.float32), [1, 2])
  return layers.dense(x, num_classes, _DENSE_DEVIATION)


def _bottleneck(layers, x, filters, stride, project):
  shortcut = x
  if project:
    shortcut = layers.batch_norm(
        layers.convolution(x, _EXPANSION * filters, 1, stride))
  x = tf.nn.relu(layers.batch_norm(layers.convolution(x, filters, 1)))
  x = tf.nn.relu(layers.batch_norm(layers.convolution(x, filters, 3, stride)))
  x = layers.batch_norm(layers.convolution(x, _EXPANSION * filters, 1),
                        initial_scale=0.0)
  return tf.nn.relu(x + shortcut)


def davidnet(layers: layers_lib.Layers, images: tf.Tensor, num_classes: int,
             width: int = 64) -> tf.Tensor:
  """DavidNet, the winner of DAWNBench's CIFAR-10 in 2018: nine layers.

  Args:
    layers: makes the variables.
    images: `[batch, height, width, 3]`, edges a multiple of 8.
    num_classes: 10 for CIFAR-10.
    width: filters of the first convolution.

  Returns:
    Logits `[batch, num_classes]`.
  """
  def block(x, filters):
    return tf.nn.relu(layers.batch_norm(layers.convolution(x, filters, 3)))

  x = block(images, width)
  for stage, residual in enumerate((True, False, True), start=1):
    filters = width * 2 ** stage
    x = tf.nn.max_pool2d(block(x, filters), 2, 2, 'VALID')
    if residual:
      x += block(block(x, filters), filters)
  x = tf.reduce_max(x, [1, 2])
  deviation = x.shape[-1] ** -0.5
  return _LOGIT_SCALE * layers.dense(x, num_classes, deviation, bias=False)
