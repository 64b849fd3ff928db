"""The trained UNet in plain TensorFlow, unpartitioned: to export and to use.

The layers are those of `architecture`, the weights those of a checkpoint; the
result is that of `unet` without dropout. All arithmetic is float32. No
Mesh-TensorFlow here.

Tensors are [batch, *spatial, channels]; spatial sizes may be unknown when the
graph is built.
"""

from collections.abc import Mapping

import tensorflow as tf

from mtf_unet import architecture
from mtf_unet import config as config_lib

Weights = Mapping[str, tf.Tensor]


def logits(images: tf.Tensor, config: config_lib.NetworkConfig,
           num_classes: int, weights: Weights) -> tf.Tensor:
  """Maps images to logits.

  Args:
    images: float32 [batch, *spatial, channels]; every spatial dim is a
      multiple of 2^(levels - 1).
    config: the architecture.
    num_classes: of the logits.
    weights: by the names of `architecture.variables`.

  Returns:
    float32 [batch, *spatial, num_classes].
  """
  x, skips = images, {}
  for layer in architecture.layers(config, images.shape[-1], num_classes):
    if layer.kind == architecture.CONVOLUTION:
      x = _norm(_convolve(x, weights[f'{layer.name}/kernel']), layer.name,
                config, weights)
    elif layer.kind == architecture.POOL:
      skips[layer.level - 1] = x
      x = _halved(x)
    elif layer.kind == architecture.UP:
      x = _doubled(x, weights[f'{layer.name}/kernel'])
    elif layer.kind == architecture.JOIN:
      x = tf.concat([x, skips.pop(layer.level)], -1)
    else:
      x = _convolve(x, weights[f'{layer.name}/kernel'])
      x += weights[f'{layer.name}/bias']
  return x


def _convolve(x, kernel):
  function = tf.nn.conv3d if x.shape.rank == 5 else tf.nn.conv2d
  return function(x, kernel, [1] * x.shape.rank, 'SAME')


def _halved(x):
  function = tf.nn.max_pool3d if x.shape.rank == 5 else tf.nn.max_pool2d
  return function(x, 2, 2, 'VALID')


def _doubled(x, kernel):
  """A 2x2x2 transposed convolution of stride 2; kernel [.., out, in]."""
  shape = tf.shape(x)
  shape = tf.concat([shape[:1], 2 * shape[1:-1], [kernel.shape[-2]]], 0)
  function = (tf.nn.conv3d_transpose if x.shape.rank == 5
              else tf.nn.conv2d_transpose)
  return function(x, kernel, shape, 2, 'SAME')


def _norm(x, name, config, weights):
  """Norm by moving averages (batch) or the volume's own (instance), ReLU."""
  if config.normalization == 'batch':
    mean = weights[f'{name}/moving_mean']
    variance = weights[f'{name}/moving_variance']
  else:
    mean, variance = tf.nn.moments(
        x, list(range(1, x.shape.rank - 1)), keepdims=True)
  scale = weights[f'{name}/gamma'] * tf.math.rsqrt(variance + config.epsilon)
  return tf.nn.leaky_relu(
      x * scale + (weights[f'{name}/beta'] - mean * scale),
      config.leaky_relu_slope)
