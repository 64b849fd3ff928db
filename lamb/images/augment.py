"""Encoded pictures to the network's input; pure functions of picture and seed.

Sources: the reference ResNet-50 for TPU (random resized crop of 8 to 100 % of
the area, centre crop of 224/256 of the shorter edge, bicubic) and DavidNet
(crop, flip and cutout of 8x8).
"""

import tensorflow as tf

_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_DEVIATION = (58.395, 57.12, 57.375)
_CIFAR_MEAN = (125.31, 122.95, 113.87)
_CIFAR_DEVIATION = (62.99, 62.09, 66.70)
_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
# Of 256 pixels of the shorter edge, 224 are seen.
_CENTRE = 224 / 256
_BORDER = 4
_CUTOUT = 8


def imagenet_training(encoded: tf.Tensor, seed: tf.Tensor,
                      size: int) -> tf.Tensor:
  """Cuts out a random rectangle, scales it to a square, mirrors half of them.

  Args:
    encoded: scalar string, JPEG or PNG.
    seed: two integers that decide.
    size: height and width of the result.

  Returns:
    `[size, size, 3]` float32, normalised by ImageNet's mean and deviation.
  """
  crop_seed, flip_seed = tf.unstack(
      tf.random.experimental.stateless_split(seed, 2))
  begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
      _shape(encoded), tf.zeros([1, 0, 4]), crop_seed, area_range=_AREA,
      aspect_ratio_range=_ASPECT, min_object_covered=0.1,
      use_image_if_no_bounding_boxes=True)
  image = _crop(encoded, begin[0], begin[1], extent[0], extent[1])
  image = tf.image.resize(image, [size, size], 'bicubic')
  image = tf.image.stateless_random_flip_left_right(image, flip_seed)
  return _normalise(image, _IMAGENET_MEAN, _IMAGENET_DEVIATION)


def imagenet_evaluation(encoded: tf.Tensor, size: int) -> tf.Tensor:
  """Cuts out the centred square of 7/8 of the shorter edge and scales it.

  Args:
    encoded: scalar string, JPEG or PNG.
    size: height and width of the result.

  Returns:
    `[size, size, 3]` float32, normalised by ImageNet's mean and deviation.
  """
  height, width, _ = tf.unstack(_shape(encoded))
  edge = tf.cast(tf.round(
      _CENTRE * tf.cast(tf.minimum(height, width), tf.float32)), tf.int32)
  edge = tf.maximum(edge, 1)
  image = _crop(encoded, (height - edge) // 2, (width - edge) // 2, edge, edge)
  return _normalise(tf.image.resize(image, [size, size], 'bicubic'),
                    _IMAGENET_MEAN, _IMAGENET_DEVIATION)


def cifar_training(encoded: tf.Tensor, seed: tf.Tensor,
                   size: int) -> tf.Tensor:
  """Shifts by up to 4 pixels, mirrors half, and greys a square of 8.

  Args:
    encoded: scalar string of a picture of `size` x `size`.
    seed: two integers that decide.
    size: height and width, more than 4.

  Returns:
    `[size, size, 3]` float32, normalised by CIFAR-10's mean and deviation.
  """
  seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
  image = cifar_evaluation(encoded, size)
  border = [[_BORDER, _BORDER], [_BORDER, _BORDER], [0, 0]]
  image = tf.image.stateless_random_crop(
      tf.pad(image, border, 'REFLECT'), [size, size, 3], seeds[0])
  image = tf.image.stateless_random_flip_left_right(image, seeds[1])
  return _cut_out(image, seeds[2], size)


def cifar_evaluation(encoded: tf.Tensor, size: int) -> tf.Tensor:
  """Decodes and normalises a picture of `size` x `size`.

  Args:
    encoded: scalar string, PNG or JPEG.
    size: height and width.

  Returns:
    `[size, size, 3]` float32, normalised by CIFAR-10's mean and deviation.
  """
  image = tf.ensure_shape(_decode(encoded), [size, size, 3])
  return _normalise(tf.cast(image, tf.float32), _CIFAR_MEAN, _CIFAR_DEVIATION)


def _cut_out(image, seed, size):
  """Sets a random square inside the picture to 0, the mean."""
  edge = min(_CUTOUT, size)
  top, left = tf.unstack(tf.random.stateless_uniform(
      [2], seed, 0, size - edge + 1, tf.int32))
  rows, columns = tf.range(size) - top, tf.range(size) - left
  inside = [(each >= 0) & (each < edge) for each in (rows, columns)]
  hole = inside[0][:, tf.newaxis] & inside[1]
  return tf.where(hole[..., tf.newaxis], 0.0, image)


def _normalise(image, mean, deviation):
  return (image - tf.constant(mean)) / tf.constant(deviation)


def _decode(encoded):
  return tf.io.decode_image(encoded, channels=3, expand_animations=False)


def _shape(encoded):
  """Returns [height, width, 3]; of a JPEG by its header alone."""
  shape = tf.cond(tf.io.is_jpeg(encoded),
                  lambda: tf.io.extract_jpeg_shape(encoded),
                  lambda: tf.shape(_decode(encoded)))
  return tf.concat([shape[:2], [3]], 0)


def _crop(encoded, top, left, height, width):
  """Returns a rectangle of the picture; decodes no more of a JPEG than it."""
  return tf.cond(
      tf.io.is_jpeg(encoded),
      lambda: tf.io.decode_and_crop_jpeg(
          encoded, tf.stack([top, left, height, width]), channels=3),
      lambda: tf.slice(_decode(encoded), tf.stack([top, left, 0]),
                       tf.stack([height, width, 3])))
