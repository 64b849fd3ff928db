"""Small data sets in tensorflow-datasets' own format, made by the tests."""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from lamb.images import config
from lamb.images import records

SIZE, CLASSES = 16, 4
TRAIN, TEST = 23, 7


def write(folder):
  """Writes the data set `tiny`, whose pictures are as bright as their label.

  The first pixel of a picture holds its number.
  """
  rng = np.random.default_rng(0)

  def split(count):
    labels = np.arange(count) % CLASSES
    images = rng.integers(0, 64, (count, SIZE, SIZE, 3)) + (
        60 * labels[:, None, None, None])
    images[:, 0, 0] = np.arange(count)[:, None]
    return tf.data.Dataset.from_tensor_slices(
        {'image': images.astype(np.uint8), 'label': labels})
  tfds.dataset_builders.store_as_tfds_dataset(
      name='tiny', version='1.0.0', data_dir=str(folder),
      split_datasets={'train': split(TRAIN), 'test': split(TEST)},
      features=tfds.features.FeaturesDict({
          'image': tfds.features.Image(shape=(SIZE, SIZE, 3)),
          'label': tfds.features.ClassLabel(num_classes=CLASSES)}))


def open_split(folder, split):
  """Opens one split of `tiny`."""
  return records.open_split('tiny', split, str(folder), CLASSES)


def job_config(steps=6, **training):
  """Returns the config of a DavidNet that trains in seconds."""
  return config.from_mapping({
      'data': {'dataset': 'tiny', 'eval_split': 'test', 'image_size': SIZE,
               'num_classes': CLASSES, 'augmentation': 'cifar'},
      'network': {'name': 'davidnet', 'width': 2},
      'optimizer': {'learning_rate': 0.02, 'warmup_steps': 1},
      'training': {'batch_size': 4, 'eval_batch_size': 4, 'steps': steps,
                   'save_every_steps': 2, 'evaluate_every_steps': 4,
                   'summary_every_steps': 1, **training}})
