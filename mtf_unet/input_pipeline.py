"""Prepared cases to endless batches; element k depends on seed and k alone.

An Estimator does not save an iterator's position. So the order of an epoch is
a function of (seed, epoch), an example's augmentation of (seed, its number),
and a training that resumes at step k starts the data set at element k.
"""

import functools

import numpy as np
import tensorflow as tf

from mtf_unet import augment
from mtf_unet import case_source
from mtf_unet import config as config_lib
from mtf_unet import patches

# More than one hides the time of a first read behind the others' work; more
# than two only take cores away from the training.
_PARALLEL_CALLS = 2
_PREFETCHED_BATCHES = 2


def training_dataset(source: case_source.CaseSource,
                     data_config: config_lib.DataConfig, *, batch_size: int,
                     seed: int, start_step: int, dimensions: int = 3
                     ) -> tf.data.Dataset:
  """Builds the endless data set of training batches.

  Args:
    source: the training cases, at least one.
    data_config: size, channels, neighbor_slices and augmentation count here.
    batch_size: examples in an element; a batch may span two epochs.
    seed: of order and augmentation.
    start_step: element k of the result is element start_step + k of the whole.
    dimensions: 3 for volumes; 2 for axial slices, with `neighbor_slices` on
      each side joined to the channels.

  Returns:
    A data set of {'image': float32 [batch, x, y, z, channels], 'label': uint8
    [batch, x, y, z]}; in 2-D [batch, x, y, (2 * neighbor_slices + 1) *
    channels] and [batch, x, y].
  """
  make = functools.partial(
      training_example, source, data_config, seed=seed, dimensions=dimensions)
  image_shape, label_shape = example_shapes(data_config, dimensions)

  def load(number):
    image, label = tf.numpy_function(
        make, [number], (tf.float32, tf.uint8))
    return {'image': tf.ensure_shape(image, image_shape),
            'label': tf.ensure_shape(label, label_shape)}

  numbers = tf.data.Dataset.range(start_step * batch_size, tf.int64.max)
  return numbers.map(
      load, num_parallel_calls=_PARALLEL_CALLS, deterministic=True).batch(
          batch_size, drop_remainder=True).prefetch(_PREFETCHED_BATCHES)


def training_example(source: case_source.CaseSource,
                     data_config: config_lib.DataConfig, number: int, *,
                     seed: int, dimensions: int = 3
                     ) -> tuple[np.ndarray, np.ndarray]:
  """Returns one augmented example; the same numbers give the same arrays.

  Args:
    source: the training cases.
    data_config: as in `training_dataset`.
    number: of the example, counted through all epochs.
    seed: of order and augmentation.
    dimensions: 3 or 2.

  Returns:
    (image, label) of `example_shapes`.
  """
  slices = data_config.size[2] if dimensions == 2 else 1
  length = len(source) * slices
  epoch, position = divmod(int(number), length)
  index = int(epoch_order(seed, epoch, length)[position])
  case = source[index // slices]
  image, label = case.image, case.label
  if dimensions == 2:
    image, label = slab(
        image, label, index % slices, data_config.neighbor_slices)
  if data_config.patches:
    image, label = patches.cut(image, label, data_config, (seed, int(number)))
  image, label = augment.augment(
      image, label, data_config.augmentation,
      num_classes=data_config.num_classes, seed=(seed, int(number)),
      planar=dimensions == 2)
  if data_config.patches:
    image, label = map(np.ascontiguousarray, patches.without_margin(
        image, label, data_config.patch_margin))
  if dimensions == 2:
    return slices_to_channels(image), np.ascontiguousarray(
        label[..., data_config.neighbor_slices])
  return image, label


def example_shapes(data_config: config_lib.DataConfig, dimensions: int
                   ) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """Returns the shapes of one image and one label, without the batch."""
  size, channels = tuple(data_config.size), data_config.channels
  if dimensions == 3:
    return size + (channels,), size
  depth = 2 * data_config.neighbor_slices + 1
  return size[:2] + (depth * channels,), size[:2]


def evaluation_slices(image: np.ndarray, neighbor_slices: int) -> np.ndarray:
  """Cuts a volume into the inputs of the 2-D network.

  Args:
    image: float32 [x, y, z, channels].
    neighbor_slices: slices on each side that join the channels.

  Returns:
    float32 [z, x, y, (2 * neighbor_slices + 1) * channels]; stack the answers
    along the first axis and move it to the third.
  """
  margin = ((0, 0), (0, 0), (neighbor_slices,) * 2, (0, 0))
  padded = np.pad(image, margin)
  depth = 2 * neighbor_slices + 1
  return np.stack([slices_to_channels(padded[:, :, z:z + depth])
                   for z in range(image.shape[2])])


def slab(image: np.ndarray, label: np.ndarray, z: int, neighbor_slices: int
         ) -> tuple[np.ndarray, np.ndarray]:
  """Cuts slice z and its neighbours; slices beyond the volume are zeros.

  Args:
    image: [x, y, z, channels].
    label: [x, y, z].
    z: the slice in the middle.
    neighbor_slices: slices on each side.

  Returns:
    (image [x, y, 2 * neighbor_slices + 1, channels], label without channels).
  """
  low, high = z - neighbor_slices, z + neighbor_slices + 1
  inside = slice(max(low, 0), min(high, image.shape[2]))
  margin = (max(-low, 0), max(high - image.shape[2], 0))
  return (np.pad(image[:, :, inside], ((0, 0), (0, 0), margin, (0, 0))),
          np.pad(label[:, :, inside], ((0, 0), (0, 0), margin)))


def slices_to_channels(image: np.ndarray) -> np.ndarray:
  """Joins [x, y, slices, channels] to [x, y, slices * channels]."""
  return np.ascontiguousarray(image).reshape(image.shape[:2] + (-1,))


@functools.lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, length: int) -> np.ndarray:
  """Returns the order in which an epoch visits its examples."""
  rng = np.random.Generator(np.random.Philox(
      np.random.SeedSequence(entropy=(seed, epoch))))
  order = rng.permutation(length)
  order.flags.writeable = False
  return order
