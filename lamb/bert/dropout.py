"""Dropout whose mask is a function of seed, step, place and example alone.

The masks of a batch are cut out of one endless stream of Philox, a generator
whose n-th block can be computed by itself: an example has the same mask
whether its batch is computed whole, in micro-batches or by several replicas,
and again when a killed job computes the step once more.
"""

import math

import tensorflow as tf

from lamb.bert import fused

# One block of Philox is four words of 32 bits, and an element takes 16 bits: a
# share is rounded to a multiple of 2^-16, and half of the words are saved.
_BLOCK = 8
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
    words = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[batch, blocks * _BLOCK // 2], key=self._key, counter=counter,
        alg=_PHILOX, dtype=tf.uint32)
    bits = tf.reshape(tf.bitcast(words, tf.uint16), [batch, blocks * _BLOCK])
    return fused.drop(tensor, tf.reshape(bits[:, :size], tensor.shape),
                      round(share * fused.LEVELS))


def none(tensor: tf.Tensor, share: float) -> tf.Tensor:
  """Drops nothing; for evaluation."""
  del share
  return tensor
