"""Prepared cases cut into files, one for each block of space.

  blocks.json              what was cut, and how; written last
  000017/2-0-1.block       of case 17 the third block along x, the first along
                           y, the second along z: the image, float32
                           [x, y, z, channels], then the label, uint8 [x, y, z]

No Python runs on the hosts of a large TPU, only TensorFlow's operations: the
program that trains runs on one of them. So cases are prepared, normalised and
cut beforehand, and a host reads the files of its own cores, no others, which
may lie in a bucket. Of the augmentation there are flips and turns by 180
degrees: the mirrored block is read, and mirrored.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import json
import math
import os

import numpy as np
import tensorflow as tf

from mtf_unet import atomic_file
from mtf_unet import case_source
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import medical_dataset
from mtf_unet import model
from mtf_unet import tensorflow_errors

_INDEX = 'blocks.json'
_PARALLEL_CALLS = 8
_FLIPS = ('flip_axes', 'rotate_180')
# Streams of random numbers: the order of an epoch, the flips of an example.
_ORDER, _FLIP = 0, 1


def _settings(config, partition):
  """What the files depend on, as JSON has it."""
  data = config.data
  # Which cases there are to train on follows from the last three.
  chosen = {key: getattr(data, key) for key in (
      'normalization', 'folds', 'fold', 'split_seed')}
  return {**medical_dataset.settings(data), **chosen,
          'size': list(data.size), 'window': list(data.window),
          'spatial_split': list(partition.spatial_split)}


def write(source: case_source.CaseSource, config: config_lib.Config,
          partition: layout.Partition, folder: str | os.PathLike,
          on_case: Callable[[int, int, str], None]
          = lambda done, total, name: None) -> None:
  """Cuts every case of a split.

  A folder that was cut before is not one of blocks until this is done.

  Args:
    source: the cases.
    config: the experiment they were opened for.
    partition: its layout.
    folder: to fill; of this machine.
    on_case: called with (cases done, cases in all, name) after each case.

  Raises:
    InputError: for a size that cannot be cut so, or in 2-D.
    OSError: if a file cannot be written.
  """
  _check(config)
  model.check(config, partition, config.data.size,
              config.training.batch_size)
  edges = [n // split for n, split in zip(config.data.size,
                                          partition.spatial_split)]
  index = os.path.join(folder, _INDEX)
  # What another cut left is no longer whole once a file of it is replaced.
  if os.path.exists(index):
    os.remove(index)
  names = []
  for number in range(len(source)):
    case = source[number]
    for box in np.ndindex(*partition.spatial_split):
      place = tuple(slice(i * edge, (i + 1) * edge)
                    for i, edge in zip(box, edges))
      path = os.path.join(folder, f'{number:06d}',
                          '-'.join(map(str, box)) + '.block')
      with atomic_file.replacing(path) as stream:
        stream.write(case.image[place].astype('<f4').tobytes())
        stream.write(case.label[place].tobytes())
    names.append(case.name)
    on_case(number + 1, len(source), case.name)
  atomic_file.write_json(
      index, {'settings': _settings(config, partition), 'cases': names})


def _check(config):
  if config.network.dimensions != 3:
    raise errors.InputError(
        'config key network.dimensions: got 2, expected 3 with block files')


@dataclasses.dataclass(frozen=True)
class BlockFiles:
  """What `write` has written.

  Attributes:
    folder: of this machine or in a bucket.
    config: the experiment.
    partition: its layout.
    cases: names.
  """
  folder: str
  config: config_lib.Config
  partition: layout.Partition
  cases: tuple[str, ...]

  def __len__(self) -> int:
    return len(self.cases)

  def host_dataset(self, replicas: Sequence[int], *, start_step: int
                   ) -> tf.data.Dataset:
    """Builds one host's training blocks; see `tpu_input.host_dataset`.

    The order of an epoch, and the flips, are functions of the seed, the epoch
    and the example's number, though not those of `input_pipeline`.
    """
    batch = self.config.training.batch_size
    rows = batch // self.partition.blocks(layout.BATCH)
    entries = []
    for replica in replicas:
      place = self.partition.block_of(replica)
      first = place.get(layout.BATCH, 0) * rows
      box = [place.get(dim, 0) for dim in layout.SPATIAL]
      entries += [[first + row, *box] for row in range(rows)]
    entries = tf.constant(entries, tf.int64)
    steps = tf.data.Dataset.range(start_step, tf.int64.max)
    blocks = steps.flat_map(
        lambda step: tf.data.Dataset.from_tensor_slices(
            entries + [step * batch, 0, 0, 0]))
    return blocks.map(
        self._load, num_parallel_calls=_PARALLEL_CALLS,
        deterministic=True).batch(rows, drop_remainder=True).prefetch(
            len(replicas))

  def _load(self, entry):
    """Reads the block of (example number, x, y, z) in block numbers."""
    number, box = entry[0], entry[1:]
    flips = self._flips(number)
    split = tf.constant(self.partition.spatial_split, tf.int64)
    image, label = self._read(
        self._case(number), tf.where(flips, split - 1 - box, box))
    for axis in range(3):
      image, label = [tf.where(flips[axis], tf.reverse(x, [axis]), x)
                      for x in (image, label)]
    return {'image': image, 'label': tf.cast(label, tf.int32)}

  def _random(self, stream, number, count):
    """Numbers from 0 to 1, [count]."""
    return tf.random.stateless_uniform(
        [count], [2 * self.config.training.seed + stream, number])

  def _case(self, number):
    count = len(self)
    order = tf.argsort(self._random(_ORDER, number // count, count))
    return order[number % count]

  def _flips(self, number):
    """Whether to reverse x, y and z; as `augment.flipped_axes`."""
    augmentation = self.config.data.augmentation
    drawn = self._random(_FLIP, number, 4) < 0.5
    allowed = [axis in augmentation.flip_axes for axis in range(3)]
    turned = [augmentation.rotate_180] * 2 + [False]
    return tf.not_equal(drawn[:3] & allowed, drawn[3] & turned)

  def _read(self, case, box):
    names = tf.strings.as_string(box)
    path = tf.strings.join([
        self.folder, '/', tf.strings.as_string(case, width=6, fill='0'), '/',
        tf.strings.reduce_join(names, separator='-'), '.block'])
    edges = [n // split for n, split in zip(self.config.data.size,
                                            self.partition.spatial_split)]
    shape = [*edges, self.config.data.channels]
    size = 4 * math.prod(shape)
    content = tf.io.read_file(path)
    check = tf.debugging.Assert(
        tf.equal(tf.strings.length(content), size + math.prod(edges)),
        ['damaged file', path])
    with tf.control_dependencies([check]):
      image = tf.io.decode_raw(tf.strings.substr(content, 0, size), tf.float32)
      label = tf.io.decode_raw(
          tf.strings.substr(content, size, math.prod(edges)), tf.uint8)
    return tf.reshape(image, shape), tf.reshape(label, edges)


def open_folder(folder: str, config: config_lib.Config,
                partition: layout.Partition) -> BlockFiles:
  """Opens a folder that `write` has filled.

  Args:
    folder: of this machine or in a bucket.
    config: the experiment.
    partition: its layout.

  Raises:
    InputError: if nothing was cut there, or otherwise; or if the augmentation
      needs more than flips and turns.
  """
  _check(config)
  _check_augmentation(config.data.augmentation)
  path = os.path.join(folder, _INDEX)
  try:
    with tf.io.gfile.GFile(path) as file:
      index = json.loads(file.read())
    stored, cases = dict(index['settings']), tuple(index['cases'])
  except (tf.errors.OpError, ValueError, KeyError, TypeError) as error:
    raise errors.InputError(
        f'{path}: no readable index of blocks '
        f'({tensorflow_errors.reason(error)}), expected a folder that '
        'scripts/mtf_unet/cut_volumes.py has filled') from error
  for key, want in _settings(config, partition).items():
    if stored.get(key) != want:
      raise errors.InputError(
          f'{folder}: cut with {key}={stored.get(key)}, expected {want}; cut '
          'into another folder or change the config')
  return BlockFiles(str(folder), config, partition, cases)


def _check_augmentation(config):
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    # The probability of changes that are all switched off changes nothing.
    if value and field.name not in (*_FLIPS, 'intensity_probability'):
      raise errors.InputError(
          f'config key data.augmentation.{field.name}: got {value}, expected '
          f'0: with block files there are {" and ".join(_FLIPS)} alone')
