"""The two kernels of a norm: statistics by channel, and scale and offset.

TensorFlow alone: the mesh calls them on blocks, prediction by slabs on slabs.
Tensors are [batch, *spatial, channels]; what is by channel is float32.
"""

import tensorflow as tf


def data_format(x: tf.Tensor) -> str:
  """Names the order of a tensor's dims as the kernels want it."""
  return 'NDHWC' if x.shape.rank == 5 else 'NHWC'


def scale_offset(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor,
                 zero: tf.Tensor, one: tf.Tensor) -> tf.Tensor:
  """Returns x * scale + offset by channel, in one pass over memory.

  Args:
    x: [batch, *spatial, channels].
    scale: [channels].
    offset: [channels].
    zero: zeros [channels].
    one: ones [channels].
  """
  return tf.raw_ops.FusedBatchNormV3(
      x=x, scale=scale, offset=offset, mean=zero, variance=one, epsilon=0.0,
      is_training=False, data_format=data_format(x)).y


def moments(x: tf.Tensor, zero: tf.Tensor, one: tf.Tensor
            ) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns mean and unbiased variance by channel, float32 whatever x is.

  Two passes in one kernel: free of the cancellation in E[x^2] - E[x]^2.

  Args:
    x: [batch, *spatial, channels].
    zero: zeros [channels].
    one: ones [channels].
  """
  result = tf.raw_ops.FusedBatchNormV3(
      x=x, scale=one, offset=zero, mean=[], variance=[], epsilon=1e-3,
      is_training=True, data_format=data_format(x))
  return result.batch_mean, result.batch_variance
