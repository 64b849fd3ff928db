"""The UNet in plain tf.nn, to compare the partitioned one with."""

import tensorflow as tf

from mtf_unet import config as config_lib


def _norm(x, gamma, beta, config):
  first = 0 if config.normalization == 'batch' else 1
  mean, variance = tf.nn.moments(
      x, list(range(first, x.shape.rank - 1)), keepdims=True)
  x = (x - mean) * tf.math.rsqrt(variance + config.epsilon) * gamma + beta
  return tf.nn.leaky_relu(x, config.leaky_relu_slope)


def _convolve(x, kernel):
  function = {5: tf.nn.conv3d, 4: tf.nn.conv2d}[x.shape.rank]
  return function(x, kernel, [1] * x.shape.rank, 'SAME')


def _halved(x):
  function = {5: tf.nn.max_pool3d, 4: tf.nn.max_pool2d}[x.shape.rank]
  return function(x, 2, 2, 'VALID')


def _doubled(x, kernel):
  function = {5: tf.nn.conv3d_transpose, 4: tf.nn.conv2d_transpose}
  shape = [x.shape[0], *(2 * n for n in x.shape[1:-1]), kernel.shape[-2]]
  return function[x.shape.rank](x, kernel, shape, 2, 'SAME')


def logits(images: tf.Tensor, config: config_lib.NetworkConfig,
           weights: dict[str, tf.Tensor]) -> tf.Tensor:
  """Maps images to logits; see `all_logits`."""
  return all_logits(images, config, weights)[0]


def all_logits(images: tf.Tensor, config: config_lib.NetworkConfig,
               weights: dict[str, tf.Tensor]) -> list[tf.Tensor]:
  """Maps images to logits as in training, without dropout.

  Args:
    images: float32 [batch, *spatial, channels].
    config: the architecture.
    weights: by the names that `mtf_unet.unet.Network` gives them.

  Returns:
    [batch, *spatial, classes], then those of deep supervision.
  """
  def head(x, name):
    return _convolve(x, weights[f'{name}/kernel']) + weights[f'{name}/bias']

  def block(x, scope):
    for i in range(config.convolutions_per_level):
      name = f'{scope}_{i}'
      x = _norm(_convolve(x, weights[f'{name}/kernel']),
                weights[f'{name}/gamma'], weights[f'{name}/beta'], config)
    return x

  x, skips, coarse = images, [], []
  for level in range(config.levels):
    x = block(_halved(x) if level else x, f'encoder_{level}')
    skips.append(x)
  for level in reversed(range(config.levels - 1)):
    x = _doubled(x, weights[f'up_{level}/kernel'])
    x = block(tf.concat([x, skips[level]], -1), f'decoder_{level}')
    if 1 <= level <= config.deep_supervision:
      coarse.insert(0, head(x, f'head_{level}'))
  return [head(x, 'head'), *coarse]
