"""Reads the records of a tensorflow-datasets data set, in a stateless order.

    files of the epoch --interleaved--> records --shuffled--> endless stream

The order is a function of seed, epoch and host alone, so a stopped job goes on
at any record: whole epochs are never read again, and the records of the
current one that were used are skipped before they are decoded.
"""

from collections.abc import Callable
import dataclasses
import importlib
from typing import Any

import numpy as np
import tensorflow as tf

from lamb import errors

_FILES_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Source:
  """One split of a data set.

  Attributes:
    files: paths of its TFRecord files.
    lengths: records in each.
    parse: serialized record to a dict with `image`, an encoded picture, and
      `label`, int64 scalars.
  """

  files: tuple[str, ...]
  lengths: tuple[int, ...]
  parse: Callable[[tf.Tensor], Any]

  def __len__(self):
    return sum(self.lengths)


@dataclasses.dataclass(frozen=True)
class Host:
  """One of the machines that read the records together.

  Attributes:
    index: 0 to count - 1.
    count: how many there are.
  """

  index: int = 0
  count: int = 1


ALONE = Host()


def open_split(dataset: str, split: str, data_dir: str | None,
               num_classes: int) -> Source:
  """Opens a split, downloading the data set where it is not prepared.

  Args:
    dataset: name known to tensorflow-datasets, or prepared in `data_dir`.
    split: a whole split, such as `train`.
    data_dir: folder of prepared data sets; None for the library's own.
    num_classes: that the labels have to have.

  Raises:
    InputError: The data set or split is not known, cannot be downloaded, is
      not stored as TFRecords, or has no `image` and `label` of `num_classes`.
  """
  tfds = importlib.import_module('tensorflow_datasets')
  try:
    builder = tfds.builder(dataset, data_dir=data_dir)
    builder.download_and_prepare()
  # The data set's own code downloads, unpacks and reads: what it raises is of
  # as many kinds as it has libraries (DownloadError, BadZipFile, ...).
  except Exception as error:
    reason = str(error).strip().partition('\n')[0] or 'no reason told'
    raise errors.InputError(
        f'dataset {dataset}: not prepared in {data_dir or "~"} and could not '
        f'be ({type(error).__name__}: {reason}).') from error
  if split not in builder.info.splits:
    raise errors.InputError(
        f'split of {dataset}: got {split!r}, expected one of '
        f'{", ".join(builder.info.splits)}.')
  _check(dataset, builder.info, num_classes)
  info = builder.info.splits[split]
  skip = {'image': tfds.decode.SkipDecoding()}
  return Source(
      tuple(map(str, info.filepaths)), tuple(info.shard_lengths),
      lambda record: builder.info.features.deserialize_example(
          record, decoders=skip))


def _check(dataset, info, num_classes):
  features = info.features
  if not {'image', 'label'} <= set(features):
    raise errors.InputError(
        f'dataset {dataset}: has {", ".join(features)}, expected image and '
        'label.')
  if features['label'].num_classes != num_classes:
    raise errors.InputError(
        f'config key data.num_classes: got {num_classes}, {dataset} has '
        f'{features["label"].num_classes}.')
  if info.file_format.value != 'tfrecord':
    raise errors.InputError(
        f'dataset {dataset}: stored as {info.file_format.value}, expected '
        'tfrecord.')


def training_records(source: Source, *, seed: int, start: int, count: int,
                     shuffle_records: int, host: Host = ALONE
                     ) -> tf.data.Dataset:
  """Returns a host's serialized records, shuffled anew in each epoch.

  Args:
    source: the split.
    seed: of the order.
    start: records of this host that were used before.
    count: records that will be asked for.
    shuffle_records: among which the next is drawn.
    host: which part is read: whole files where there is one for each host at
      least, else every `host.count`-th record.

  Returns:
    Scalar strings, at least `count` of them.

  Raises:
    InputError: A split without records.
  """
  if not len(source):
    raise errors.InputError('dataset: the split has no records.')
  epochs, left = _epochs(source, seed, start, start + count, host)
  by_file = _by_file(source, host)

  def of_epoch(epoch_seed, files):
    records = tf.data.Dataset.from_tensor_slices(files).interleave(
        tf.data.TFRecordDataset, cycle_length=_FILES_AT_ONCE,
        num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if not by_file:
      records = records.shard(host.count, host.index)
    return records.shuffle(min(shuffle_records, len(source)), seed=epoch_seed,
                           reshuffle_each_iteration=False)

  names = np.array(source.files)
  seeds = [np.random.SeedSequence((seed, number, host.index)).generate_state(1)
           for number, _ in epochs]
  return tf.data.Dataset.from_tensor_slices((
      np.concatenate(seeds).astype(np.int64),
      np.stack([names[mine] for _, mine in epochs]))).flat_map(
          of_epoch).skip(left)


def _by_file(source, host):
  return len(source.files) >= host.count


def _epochs(source, seed, start, stop, host):
  """Returns (number, files) of the epochs that hold the records start..stop.

  Beside them, how many records of the first one lie before `start`.
  """
  epochs, left, used, number = [], 0, 0, 0
  while used < stop:
    mine = np.random.default_rng((seed, number)).permutation(
        len(source.files))
    if _by_file(source, host):
      mine = mine[host.index::host.count]
      length = sum(source.lengths[i] for i in mine)
    else:
      length = len(range(host.index, len(source), host.count))
    if used + length > start:
      if not epochs:
        left = start - used
      epochs.append((number, mine))
    used += length
    number += 1
  return epochs, left


def evaluation_records(source: Source, host: Host = ALONE) -> tf.data.Dataset:
  """Returns every serialized record of a host once, in the files' order."""
  records = tf.data.TFRecordDataset(list(source.files))
  return records.shard(host.count, host.index)
