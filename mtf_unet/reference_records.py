"""Reads the reference's records: GZIP TFRecords of resized CT cubes.

Each is a tf.train.Example of `image/ct_image` and `image/label`, float32 bytes
of resolution^3 voxels. A TFRecord frames its data as: length (uint64), its
checksum (uint32), the data, their checksum (uint32), all little-endian. We
read the frames ourselves: gzip's own checksum and end mark tell a truncated
file, which TensorFlow's reader takes for a shorter one when the cut falls
between two records.
"""

import collections.abc
import gzip
import os
import struct
import zlib

from google.protobuf import message
import numpy as np
import tensorflow as tf

from mtf_unet import errors

_HEADER = struct.Struct('<QI')
_FOOTER_BYTES = 4
# No cube is larger than this (1024^3 voxels twice): a wrong length is
# noticed before memory is taken for it.
_LARGEST_RECORD_BYTES = 2 * 4 * 1024**3 + 4096


def count(path: str | os.PathLike) -> int:
  """Returns the number of records, reading the file to its end.

  Raises:
    InputError: if the file is truncated or no GZIP TFRecord.
  """
  return sum(1 for _ in _frames(path))


def read_cube(path: str | os.PathLike, number: int
              ) -> tuple[np.ndarray, np.ndarray]:
  """Reads one record.

  Args:
    path: a GZIP TFRecord file.
    number: of the record, from 0.

  Returns:
    (image, label), each float32 [resolution, resolution, resolution].

  Raises:
    InputError: if the record is damaged or holds no two equal cubes.
  """
  for index, data in enumerate(_frames(path, wanted=number)):
    if index == number:
      return _parse(data, f'{path}, record {number}')
  raise errors.InputError(f'{path}: has no record {number}')


def _frames(path, wanted=None) -> collections.abc.Iterator[bytes]:
  """Yields the records, or stops after the wanted one; others are empty."""
  try:
    with gzip.open(path, 'rb') as stream:
      for index, header in enumerate(
          iter(lambda: stream.read(_HEADER.size), b'')):
        yield _read_frame(stream, header, keep=index == wanted)
        if index == wanted:
          return
  except (OSError, EOFError, zlib.error, struct.error) as error:
    raise errors.InputError(
        f'{path}: truncated or damaged, expected a whole GZIP TFRecord file '
        f'({error})') from error


def _read_frame(stream, header, keep):
  length, _ = _HEADER.unpack(header)
  if length > _LARGEST_RECORD_BYTES:
    raise OSError(f'a record of {length} bytes')
  if keep:
    data = stream.read(length)
    missing = length - len(data)
  else:
    data = b''
    missing = 0 if stream.seek(length, 1) else length
  if missing or len(stream.read(_FOOTER_BYTES)) < _FOOTER_BYTES:
    raise EOFError('the last record is cut off')
  return data


def _parse(data, name):
  cubes = []
  try:
    features = tf.train.Example.FromString(data).features.feature
    for key in ('image/ct_image', 'image/label'):
      voxels = np.frombuffer(features[key].bytes_list.value[0], '<f4')
      edge = round(len(voxels) ** (1 / 3))
      cubes.append(voxels.reshape(edge, edge, edge))
  except (ValueError, IndexError, message.DecodeError) as error:
    raise errors.InputError(
        f'{name}: expected image/ct_image and image/label, float32 bytes of '
        f'resolution^3 voxels ({error})') from error
  image, label = cubes
  if image.shape != label.shape:
    raise errors.InputError(
        f'{name}: label of shape {label.shape}, expected {image.shape}')
  return image, label
