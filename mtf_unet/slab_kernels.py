"""The layers of the 3D UNet on slabs: arrays in, arrays out, by TensorFlow.

A slab is [slices, y, z, channels] of the network's activation dtype, its
slices along the first spatial axis. y and z are whole and padded here; the
slices that a convolution reads beyond its own come with the slab. Sizes are
those of the arrays, so one graph serves all layers. It has a session of its
own: a prediction may come in the middle of a training.
"""

import numpy as np
import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import norm_kernels


class Kernels:
  """The layers as functions of arrays; n, y, z, c, d are any sizes.

  Attributes:
    dtype: of slabs, a NumPy type.
    convolve: maps (slab [n + 2, y, z, c], kernel [3, 3, 3, c, d]) to
      [n, y, z, d].
    moments: maps a slab to its mean and unbiased variance, float32 [c].
    activate: maps (slab, scale [c], offset [c]) to the leaky ReLU of
      slab * scale + offset.
    pool: maps a slab [2 n, 2 y, 2 z, c] to [n, y, z, c].
    spread: maps (slab [n, y, z, c], kernel [2, 2, 2, d, c]) to
      [2 n, 2 y, 2 z, d].
    classify: maps (slab, kernel [1, 1, 1, c, classes], bias [classes]) to
      float32 probabilities [n, y, z, classes].
    label: maps the same to the most probable class, uint8 [n, y, z].

  Args:
    config: the architecture.
  """

  def __init__(self, config: config_lib.NetworkConfig):
    dtype = tf.as_dtype(config.activation_dtype)
    self.dtype: np.dtype = np.dtype(dtype.as_numpy_dtype)
    placeholder = tf.compat.v1.placeholder
    with tf.Graph().as_default() as graph:
      self._session = tf.compat.v1.Session(graph=graph)
      slab = placeholder(dtype, [None] * 4)
      kernel = placeholder(tf.float32, [None] * 5)
      first, second = (placeholder(tf.float32, [None]) for _ in range(2))
      x, w = slab[tf.newaxis], tf.cast(kernel, dtype)
      probabilities = tf.nn.softmax(_logits(x, w, first))
      call = self._session.make_callable
      self.convolve = call(_only(_convolved(x, w)), [slab, kernel])
      self.moments = call(norm_kernels.moments(x, *_zero_one(x)), [slab])
      self.activate = call(
          _only(_activated(x, first, second, config.leaky_relu_slope)),
          [slab, first, second])
      self.pool = call(_only(tf.nn.max_pool3d(x, 2, 2, 'VALID')), [slab])
      self.spread = call(_only(_spread(x, w)), [slab, kernel])
      self.classify = call(_only(probabilities), [slab, kernel, first])
      label = tf.cast(tf.argmax(probabilities, -1, tf.int32), tf.uint8)
      self.label = call(_only(label), [slab, kernel, first])

  def close(self) -> None:
    """Frees the session."""
    self._session.close()


def _only(batch):
  """Takes the one sample of a batch."""
  return tf.squeeze(batch, 0)


def _convolved(x, kernel):
  inside = tf.pad(x, [[0, 0], [0, 0], [1, 1], [1, 1], [0, 0]])
  return tf.nn.conv3d(inside, kernel, [1] * 5, 'VALID')


def _zero_one(x):
  channels = tf.shape(x)[-1:]
  return tf.zeros(channels), tf.ones(channels)


def _activated(x, scale, offset, slope):
  y = norm_kernels.scale_offset(x, scale, offset, *_zero_one(x))
  return y if slope == 1.0 else tf.nn.leaky_relu(y, slope)


def _spread(x, kernel):
  shape = tf.shape(x)
  size = tf.concat([shape[:1], 2 * shape[1:-1], tf.shape(kernel)[-2:-1]], 0)
  return tf.nn.conv3d_transpose(x, kernel, size, 2, 'SAME')


def _logits(x, kernel, bias):
  return tf.cast(tf.nn.conv3d(x, kernel, [1] * 5, 'VALID'), tf.float32) + bias
