"""The authors' LeNet for MNIST (arXiv:1904.00962, appendix).

5x5x32, pool, 5x5x64, pool, dense 1024, dropout 0.4, dense 10.
"""

from collections.abc import Sequence

import tensorflow as tf

_CHANNELS = (32, 64)
_KERNEL = 5
_HIDDEN = 1024
_DIGITS = 10


class LeNet(tf.Module):
  """Images to logits, with variables from Glorot's uniform initializer.

  Attributes:
    variables_in_order: Kernel and bias of each layer from the input on.
  """

  def __init__(self, size: int = 28, seed: int = 0):
    """Creates the variables.

    Args:
      size: Height and width of the images, a multiple of 4.
      seed: Seed of the initial weights.
    """
    super().__init__(name='lenet')
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
    pairs = list(zip(self.variables_in_order[::2],
                     self.variables_in_order[1::2]))
    x = images
    for kernel, bias in pairs[:2]:
      x = tf.nn.relu(tf.nn.bias_add(
          tf.nn.conv2d(x, kernel, strides=1, padding='SAME'), bias))
      x = tf.nn.max_pool2d(x, ksize=2, strides=2, padding='VALID')
    x = tf.reshape(x, [-1, pairs[2][0].shape[0]])
    x = tf.nn.relu(tf.nn.bias_add(x @ pairs[2][0], pairs[2][1]))
    if dropout:
      x = tf.nn.experimental.stateless_dropout(x, dropout, seed)
    return tf.nn.bias_add(x @ pairs[3][0], pairs[3][1])


def _glorot(shape, seed):
  """Returns uniform values in +-sqrt(6 / (fan in + fan out))."""
  receptive = 1
  for size in shape[:-2]:
    receptive *= size
  bound = (6.0 / (receptive * (shape[-2] + shape[-1]))) ** 0.5
  return tf.random.stateless_uniform(shape, seed, -bound, bound)
