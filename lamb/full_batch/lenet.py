"""The authors' LeNet for MNIST (arXiv:1904.00962, appendix).

5x5x32, pool, 5x5x64, pool, dense 1024, dropout 0.4, dense 10.
"""

from collections.abc import Sequence

import tensorflow as tf

from lamb import errors

_CHANNELS = (32, 64)
_KERNEL = 5
_HIDDEN = 1024
_DIGITS = 10


class LeNet(tf.Module):
  """Images to logits, with variables from Glorot's uniform initializer.

  Attributes:
    variables_in_order: Kernel and bias of each layer from the input on.
  """

  def __init__(self, size: int = 28, seed: int = 0,
               activation_dtype: str = 'float32'):
    """Creates the variables, always float32.

    Args:
      size: Height and width of the images, a multiple of 4.
      seed: Seed of the initial weights.
      activation_dtype: `float32` or `bfloat16`, of all layers but the last;
        processors that multiply bfloat16 are twice as fast with it.

    Raises:
      InputError: `activation_dtype` is neither.
    """
    super().__init__(name='lenet')
    if activation_dtype not in ('float32', 'bfloat16'):
      raise errors.InputError(
          f'activation_dtype: got {activation_dtype!r}, expected float32 or '
          'bfloat16.')
    self._dtype = tf.as_dtype(activation_dtype)
    last = (size // 4) ** 2 * _CHANNELS[1]
    shapes = {
        'conv1': (_KERNEL, _KERNEL, 1, _CHANNELS[0]),
        'conv2': (_KERNEL, _KERNEL, *_CHANNELS),
        'dense1': (last, _HIDDEN),
        'dense2': (_HIDDEN, _DIGITS),
    }
    self.variables_in_order = []
    for index, (name, shape) in enumerate(shapes.items()):
      self.variables_in_order += [
          tf.Variable(_glorot(shape, (seed, index)), name=f'{name}/kernel'),
          tf.Variable(tf.zeros(shape[-1:]), name=f'{name}/bias')]

  def __call__(self, images: tf.Tensor, dropout: float = 0.0,
               seed: Sequence[int] | tf.Tensor = (0, 0)) -> tf.Tensor:
    """Computes logits.

    Args:
      images: `[batch, height, width, 1]`, float32 in [0, 1].
      dropout: Share of the hidden units set to 0; 0 when evaluating.
      seed: Two integers that decide which.

    Returns:
      Logits `[batch, 10]`.
    """
    *hidden, kernel, bias = self.variables_in_order
    hidden = [tf.cast(variable, self._dtype) for variable in hidden]
    x = tf.cast(images, self._dtype)
    for pair in (hidden[:2], hidden[2:4]):
      x = tf.nn.relu(tf.nn.bias_add(
          tf.nn.conv2d(x, pair[0], strides=1, padding='SAME'), pair[1]))
      x = tf.nn.max_pool2d(x, ksize=2, strides=2, padding='VALID')
    x = tf.reshape(x, [-1, hidden[4].shape[0]])
    x = tf.nn.relu(tf.nn.bias_add(x @ hidden[4], hidden[5]))
    x = tf.cast(x, tf.float32)
    if dropout:
      x = tf.nn.experimental.stateless_dropout(x, dropout, seed)
    return tf.nn.bias_add(x @ kernel, bias)


def _glorot(shape, seed):
  """Returns uniform values in +-sqrt(6 / (fan in + fan out))."""
  receptive = 1
  for size in shape[:-2]:
    receptive *= size
  bound = (6.0 / (receptive * (shape[-2] + shape[-1]))) ** 0.5
  return tf.random.stateless_uniform(shape, seed, -bound, bound)
