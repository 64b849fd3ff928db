"""Dropout whose mask is a function of seed, step, place and example alone.

The masks of a batch are cut out of one endless stream of Philox, a generator
whose n-th block can be computed by itself: an example has the same mask
whether its batch is computed whole, in micro-batches or by several replicas,
and again when a killed job computes the step once more.
"""

import math

import tensorflow as tf

# One block of Philox gives so many float32.
_BLOCK = 4
_PHILOX = 1


class Dropout:
  """Drops elements of a batch's tensors, each call at a place of its own.

  Args:
    seed: Seed of the job.
    step: Scalar int64, the global step.
    first_example: Scalar int64, number in the global batch of the first
      example of this batch.
  """

  def __init__(self, seed: int, step: tf.Tensor, first_example: tf.Tensor):
    self._key, _ = tf.raw_ops.StatelessRandomGetKeyCounter(
        seed=tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)]))
    self._first = tf.cast(first_example, tf.uint64)
    self._places = 0

  def __call__(self, tensor: tf.Tensor, share: float) -> tf.Tensor:
    """Sets a share of the elements to 0 and scales the others up.

    Args:
      tensor: float [batch, ...] of static shape.
      share: Probability of being dropped, in [0, 1).
    """
    if share == 0:
      return tensor
    batch, *shape = tensor.shape.as_list()
    size = math.prod(shape)
    blocks = -(-size // _BLOCK)
    counter = tf.stack([self._first * blocks,
                        tf.constant(self._places, tf.uint64)])
    self._places += 1
    uniform = tf.raw_ops.StatelessRandomUniformV2(
        shape=[batch, blocks * _BLOCK], key=self._key, counter=counter,
        alg=_PHILOX, dtype=tf.float32)
    uniform = tf.reshape(uniform[:, :size], tensor.shape)
    return tensor * tf.where(uniform >= share, tf.constant(
        1 / (1 - share), tensor.dtype), tf.constant(0, tensor.dtype))


def none(tensor: tf.Tensor, share: float) -> tf.Tensor:
  """Drops nothing; for evaluation."""
  del share
  return tensor
