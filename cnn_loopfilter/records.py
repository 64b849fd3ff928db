"""TFRecords of training patches: how they are written and read.

A folder holds `patches-00000-of-000NN.tfrecord` and `index.json`. One example
is one square patch of one component: the raw samples of the unfiltered
reconstruction and of the original (uint8, above 8 bits uint16 little endian),
QP, component (0 Y, 1 U, 2 V), number of the picture in the index, and the
patch's place in its plane.
"""

from collections.abc import Mapping
import hashlib
import json
import pathlib

import numpy as np
import tensorflow as tf

from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib

INDEX = 'index.json'
VERSION = 1
# Of a spooled patch: qp, component, picture, x, y.
NUMBERS = ('qp', 'component', 'picture', 'x', 'y')
# What readers look up in the index.
_KEYS = ('patch_size', 'depth', 'shards')


def spool_dtype(patch_size: int, depth: int) -> np.dtype:
  """Returns the type of one patch in an unsorted file of fixed-size items."""
  samples = (frames_lib.sample_dtype(depth), (patch_size, patch_size))
  return np.dtype([(name, '<i4') for name in NUMBERS]
                  + [('reconstruction', *samples), ('original', *samples)])


def write_shards(patches: np.ndarray, folder: pathlib.Path, *, seed: int,
                 patches_per_shard: int) -> list[dict]:
  """Writes all patches in one random order, fixed by the seed.

  Args:
    patches: [count] of `spool_dtype`, which may be a memory map.
    folder: to write into.
    seed: of the order.
    patches_per_shard: at most so many in one file; files are of equal length
      but for one patch.

  Returns:
    For each file its name, number of patches and SHA-256.
  """
  order = np.random.Generator(np.random.PCG64(seed)).permutation(len(patches))
  parts = np.array_split(order, max(1, -(-len(patches) // patches_per_shard)))
  shards = []
  for number, part in enumerate(parts):
    name = f'patches-{number:05d}-of-{len(parts):05d}.tfrecord'
    with tf.io.TFRecordWriter(str(folder / name)) as writer:
      for index in part:
        writer.write(_example(patches[index]))
    shards.append({'name': name, 'patches': len(part),
                   'sha256': _sha256(folder / name)})
  return shards


def _example(patch):
  feature = {
      key: tf.train.Feature(bytes_list=tf.train.BytesList(
          value=[patch[key].tobytes()]))
      for key in ('reconstruction', 'original')}
  for key in NUMBERS:
    feature[key] = tf.train.Feature(int64_list=tf.train.Int64List(
        value=[int(patch[key])]))
  example = tf.train.Example(features=tf.train.Features(feature=feature))
  # Two runs shall write the same bytes.
  return example.SerializeToString(deterministic=True)


def read_index(folder: str | pathlib.Path) -> Mapping:
  """Reads index.json and looks whether every file it names is there.

  Raises:
    InputError: for a folder without it, of another version, or not whole.
  """
  path = pathlib.Path(folder) / INDEX
  try:
    index = json.loads(path.read_text('utf-8'))
  except FileNotFoundError as error:
    raise errors.InputError(
        f'{folder}: no {INDEX} in there, expected a folder that '
        'prepare_frames.py has filled') from error
  except ValueError as error:
    raise errors.InputError(f'{path}: not JSON ({error})') from error
  if not isinstance(index, dict) or index.get('version') != VERSION or (
      not all(key in index for key in _KEYS)):
    raise errors.InputError(
        f'{path}: expected "version": {VERSION} and {", ".join(_KEYS)}')
  for shard in index['shards']:
    if not (path.parent / shard['name']).is_file():
      raise errors.InputError(f'{path.parent / shard["name"]}: no such file')
  return index


def check_shards(folder: str | pathlib.Path,
                 depth: int | None = None) -> Mapping:
  """Reads the index, and every file once to compare its SHA-256.

  TFRecords find a changed byte by themselves, but only in the midst of a
  training, and not a file of another run.

  Args:
    folder: as `prepare_frames.py` writes it.
    depth: bits that the filter is for; None: any.

  Returns:
    The index.

  Raises:
    InputError: see `read_index`; naming a file that differs; or for patches
      of another depth.
  """
  index = read_index(folder)
  if depth not in (None, index['depth']):
    raise errors.InputError(f'{folder}: patches of {index["depth"]} bits, '
                            f'expected {depth}, the filter\'s data.depth')
  for shard in index['shards']:
    path = pathlib.Path(folder) / shard['name']
    if _sha256(path) != shard['sha256']:
      raise errors.InputError(
          f'{path}: its checksum differs from the one in {INDEX}, expected '
          'what prepare_frames.py wrote (run it again)')
  return index


def _sha256(path):
  with open(path, 'rb') as stream:
    return hashlib.file_digest(stream, 'sha256').hexdigest()


def training_dataset(folder: str | pathlib.Path, *, batch_size: int, seed: int,
                     start_step: int = 0, steps: int | None = None,
                     augment: bool = False) -> tf.data.Dataset:
  """Streams random batches without end.

  What a step sees depends on the folder, `batch_size`, `seed` and the step
  alone, so a job that stops continues with the batches it would have had.
  An epoch goes through the files in a random order and through each file in
  another; of files of unequal length one random patch is left out.

  Args:
    folder: as `prepare_frames.py` writes it.
    batch_size: patches of a step.
    seed: of every order and every change.
    start_step: the first step; what comes before is not read.
    steps: ends after so many steps; None: never.
    augment: turn and mirror each patch at random (8 ways).

  Returns:
    Batches: `reconstruction` and `original` float32 [batch, size, size, 1] in
    sample / 2^depth, `qp` float32 [batch], `component` int32 [batch].

  Raises:
    InputError: see `read_index`; or if there is no patch.
  """
  index = read_index(folder)
  parse = _parser(index['patch_size'], index['depth'])
  paths = [str(pathlib.Path(folder) / shard['name'])
           for shard in index['shards']]
  per_shard = min(shard['patches'] for shard in index['shards'])
  if not per_shard:
    raise errors.InputError(f'{folder}: holds no patch')
  first_visit, rest = divmod(start_step * batch_size, per_shard)

  def load(visit):
    """One file's patches in this epoch's order; `visit` counts files."""
    epoch, place = visit // len(paths), visit % len(paths)
    key = _key(seed, epoch)
    shard = tf.random.experimental.stateless_shuffle(
        tf.range(len(paths)), key)[place]
    records = tf.data.TFRecordDataset(tf.constant(paths)[shard]).batch(
        per_shard + 1)
    content = parse(records.take(1).get_single_element())
    order = tf.random.experimental.stateless_shuffle(
        tf.range(tf.shape(content['qp'])[0]),
        tf.random.experimental.stateless_fold_in(key, shard))[:per_shard]
    return {name: tf.gather(value, order) for name, value in content.items()}

  dataset = tf.data.Dataset.range(first_visit, np.iinfo(np.int64).max).map(
      load, num_parallel_calls=1, deterministic=True).prefetch(1)
  dataset = dataset.unbatch().skip(rest).batch(batch_size, drop_remainder=True)
  dataset = dataset.enumerate(start_step)
  if steps is not None:
    dataset = dataset.take(steps)
  dataset = dataset.map(
      lambda step, batch: _scale(
          _augment(batch, _key(seed + 1, step)) if augment else batch,
          index['depth']))
  return dataset.prefetch(4)


def evaluation_dataset(folder: str | pathlib.Path,
                       batch_size: int) -> tf.data.Dataset:
  """Goes once through every patch, in the order of the files.

  Args:
    folder: as `prepare_frames.py` writes it.
    batch_size: patches of a batch; the last one may have fewer.

  Returns:
    Batches as `training_dataset` gives them.
  """
  index = read_index(folder)
  parse = _parser(index['patch_size'], index['depth'])
  paths = [str(pathlib.Path(folder) / shard['name'])
           for shard in index['shards']]
  return tf.data.TFRecordDataset(paths).batch(batch_size).map(
      lambda records: _scale(parse(records), index['depth'])).prefetch(4)


def _key(seed, number):
  """Seeds of tf.random's stateless functions: two whole numbers."""
  return tf.stack([tf.constant(seed, tf.int64), tf.cast(number, tf.int64)])


def _parser(size, depth):
  """Returns a function from [batch] serialized examples to raw patches."""
  dtype = tf.uint8 if depth == 8 else tf.uint16
  features = {key: tf.io.FixedLenFeature([], tf.string)
              for key in ('reconstruction', 'original')}
  features |= {key: tf.io.FixedLenFeature([], tf.int64)
               for key in ('qp', 'component')}

  def parse(records):
    content = tf.io.parse_example(records, features)
    patches = {
        key: tf.reshape(tf.io.decode_raw(content[key], dtype),
                        [-1, size, size, 1])
        for key in ('reconstruction', 'original')}
    return patches | {key: tf.cast(content[key], tf.int32)
                      for key in ('qp', 'component')}

  return parse


def _augment(batch, key):
  """Mirrors and transposes each patch, alike in both pictures."""
  choice = tf.random.stateless_uniform(
      [3, tf.shape(batch['qp'])[0], 1, 1, 1], key) < 0.5
  changed = dict(batch)
  for name in ('reconstruction', 'original'):
    patch = batch[name]
    patch = tf.where(choice[0], tf.reverse(patch, [1]), patch)
    patch = tf.where(choice[1], tf.reverse(patch, [2]), patch)
    changed[name] = tf.where(choice[2], tf.transpose(patch, [0, 2, 1, 3]),
                             patch)
  return changed


def _scale(batch, depth):
  scaled = {key: tf.cast(batch[key], tf.float32) * 2.0 ** -depth
            for key in ('reconstruction', 'original')}
  return scaled | {'qp': tf.cast(batch['qp'], tf.float32),
                   'component': batch['component']}
