"""Convolution, batch norm and dense layers for an Estimator's graph.

Keras layers would leave the batch norm's updates to their owner and name
variables by a global counter; here the names are those of the reference
ResNet-50 for TPU (`conv2d_3/kernel`, `batch_normalization_3/gamma`), so that
`lamb.RESNET_EXCLUSIONS` finds the norms.
"""

import math

import tensorflow as tf

v1 = tf.compat.v1

# Per step, of the moving averages; and in the root.
_MOMENTUM = 0.9
_EPSILON = 1e-5
# Of a normal distribution cut off at two deviations.
_TRUNCATED_DEVIATION = 0.87962566103423978


class Layers:
  """Makes layers one after the other and numbers their variables.

  On a TPU the statistics of a batch norm are those of one replica's part of
  the batch, as in the reference code.

  Attributes:
    updates: assignments to the moving averages, to be run in each step.
  """

  def __init__(self, training: bool, dtype: str = 'float32', seed: int = 0):
    """Keeps the settings.

    Args:
      training: Whether batch norms use the batch's own statistics.
      dtype: Of the activations.
      seed: Of the initial weights.
    """
    self._training, self._seed = training, seed
    self._dtype = tf.as_dtype(dtype)
    self._counts = {}
    self.updates = []

  def convolution(self, x: tf.Tensor, filters: int, size: int,
                  stride: int = 1) -> tf.Tensor:
    """Convolves without bias; the padding does not depend on the input's size.

    Args:
      x: `[batch, height, width, channels]`.
      filters: channels of the result.
      size: height and width of the kernel.
      stride: of both axes.

    Returns:
      `[batch, ceil(height / stride), ceil(width / stride), filters]`.
    """
    shape = (size, size, x.shape[-1], filters)
    before = (size - 1) // 2
    border = [before, size - 1 - before]
    with v1.variable_scope(self._name('conv2d')):
      kernel = self._weights('kernel', shape, 1 / math.sqrt(
          math.prod(shape[:-1])))
    return tf.nn.conv2d(
        tf.cast(x, self._dtype), tf.cast(kernel, self._dtype), stride,
        [[0, 0], border, border, [0, 0]])

  def batch_norm(self, x: tf.Tensor, initial_scale: float = 1.0) -> tf.Tensor:
    """Normalises each channel.

    Args:
      x: `[batch, height, width, channels]`.
      initial_scale: where gamma starts; 0 for the last norm of a residual.

    Returns:
      The same shape and type.
    """
    size = x.shape[-1]
    with v1.variable_scope(self._name('batch_normalization')):
      gamma = _vector('gamma', size, initial_scale)
      beta = _vector('beta', size, 0.0)
      mean = _vector('moving_mean', size, 0.0, trainable=False)
      variance = _vector('moving_variance', size, 1.0, trainable=False)
    statistics = () if self._training else (mean, variance)
    result, *found = v1.nn.fused_batch_norm(
        x, gamma, beta, *statistics, epsilon=_EPSILON,
        is_training=self._training)
    if self._training:
      self.updates += [
          average.assign_sub((1 - _MOMENTUM) * (average - new))
          for average, new in zip((mean, variance), found)]
    return result

  def dense(self, x: tf.Tensor, units: int, deviation: float, *,
            bias: bool = True) -> tf.Tensor:
    """Multiplies by a matrix, in float32.

    Args:
      x: `[batch, channels]`.
      units: columns of the result.
      deviation: of the initial weights.
      bias: Whether a bias is added.

    Returns:
      `[batch, units]` float32.
    """
    with v1.variable_scope(self._name('dense')):
      kernel = self._weights('kernel', (x.shape[-1], units), deviation)
      result = tf.cast(x, tf.float32) @ kernel
      return result + _vector('bias', units, 0.0) if bias else result

  def _name(self, kind):
    """Numbers layers of a kind: conv2d, conv2d_1, ..."""
    number = self._counts.get(kind, 0)
    self._counts[kind] = number + 1
    return f'{kind}_{number}' if number else kind

  def _weights(self, name, shape, deviation):
    index = sum(self._counts.values())
    spread = deviation / _TRUNCATED_DEVIATION

    def initial(shape, dtype=tf.float32, partition_info=None):
      del partition_info
      return tf.random.stateless_truncated_normal(
          shape, (self._seed, index), 0.0, spread, dtype)
    return v1.get_variable(name, shape, initializer=initial,
                           use_resource=True)


def _vector(name, size, value, trainable=True):
  return v1.get_variable(
      name, [size], initializer=v1.constant_initializer(value),
      trainable=trainable, use_resource=True)
