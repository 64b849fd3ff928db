"""Records to the batches of one host, for training and for evaluation."""

import math

import tensorflow as tf

from lamb import errors
from lamb.images import augment
from lamb.images import config as config_lib
from lamb.images import records


def training_batches(source: records.Source, config: config_lib.Config, *,
                     start_step: int, batch_size: int,
                     host: records.Host = records.ALONE) -> tf.data.Dataset:
  """Returns batches from a step on; they depend on seed and step alone.

  Args:
    source: the training split.
    config: the experiment.
    start_step: steps that were trained before.
    batch_size: examples in each batch; a host whose replicas are fed one by
      one takes several for a step.
    host: the machine that asks.

  Returns:
    Dicts of `image` `[batch, size, size, 3]` float32 and `label` `[batch]`
    int32.

  Raises:
    InputError: The hosts do not divide the batch.
  """
  training = config.training
  if training.batch_size % host.count:
    raise errors.InputError(
        f'config key training.batch_size: got {training.batch_size}, expected '
        f'a multiple of the {host.count} hosts.')
  in_step = training.batch_size // host.count
  start, stop = start_step * in_step, training.steps * in_step
  found = records.training_records(
      source, seed=training.seed, start=start, count=stop - start,
      shuffle_records=config.data.shuffle_records, host=host)
  seed = tf.constant([training.seed, host.index], tf.int64)

  def example(position, record):
    parsed = source.parse(record)
    cut = (augment.imagenet_training if config.data.augmentation == 'imagenet'
           else augment.cifar_training)
    image = cut(
        parsed['image'],
        tf.random.experimental.stateless_fold_in(seed, position),
        config.data.image_size)
    return {'image': image, 'label': tf.cast(parsed['label'], tf.int32)}
  return (found.enumerate(start)
          .map(example, tf.data.AUTOTUNE, deterministic=True)
          .batch(batch_size, drop_remainder=True)
          .prefetch(tf.data.AUTOTUNE))


def evaluation_batches(source: records.Source, config: config_lib.Config, *,
                       batch_size: int,
                       host: records.Host = records.ALONE
                       ) -> tf.data.Dataset:
  """Returns every example once; the last step is filled up with weight 0.

  Hosts are given the same number of batches.

  Args:
    source: the split.
    config: the experiment.
    batch_size: examples in each batch.
    host: the machine that asks.

  Returns:
    Dicts of `image`, `label` as in training, and `weight` `[batch]` float32.
  """
  size = config.data.image_size

  def example(record):
    parsed = source.parse(record)
    cut = (augment.imagenet_evaluation
           if config.data.augmentation == 'imagenet'
           else augment.cifar_evaluation)
    return {'image': cut(parsed['image'], size),
            'label': tf.cast(parsed['label'], tf.int32),
            'weight': tf.constant(1.0)}
  filler = tf.data.Dataset.from_tensors({
      'image': tf.zeros([size, size, 3]), 'label': tf.constant(0),
      'weight': tf.constant(0.0)}).repeat()
  steps = evaluation_steps(source, config, host.count)
  return (records.evaluation_records(source, host)
          .map(example, tf.data.AUTOTUNE, deterministic=True)
          .concatenate(filler)
          .take(steps * config.training.eval_batch_size // host.count)
          .batch(batch_size, drop_remainder=True)
          .prefetch(tf.data.AUTOTUNE))


def evaluation_steps(source: records.Source, config: config_lib.Config,
                     hosts: int = 1) -> int:
  """Returns the number of steps that see every example.

  Raises:
    InputError: The hosts do not divide the batch.
  """
  batch = config.training.eval_batch_size
  if batch % hosts:
    raise errors.InputError(
        f'config key training.eval_batch_size: got {batch}, expected a '
        f'multiple of the {hosts} hosts.')
  return math.ceil(math.ceil(len(source) / hosts) / (batch // hosts))
