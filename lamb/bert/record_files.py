"""TFRecord files: written without TensorFlow, and read at any record.

A file is a row of frames: length (uint64), checksum of the length (uint32),
data, checksum of the data (uint32), all little-endian; see
tensorflow/core/lib/io/record_writer.h. An index of where each record lies lets
a job read its examples in any order and begin at any of them.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import struct
from typing import Any
from typing import BinaryIO

import numpy as np

from lamb import errors
from lamb.bert import crc32c

_HEADER = 12
_FRAME = 16
# Read at a time while indexing.
_CHUNK = 1 << 20
# No record of ours comes near; a longer one is a damaged length.
_LONGEST = 1 << 30

Opener = Callable[[str], BinaryIO]


def frames(records: Sequence[bytes]) -> list[bytes]:
  """Returns the records as they stand in a file."""
  headers = [struct.pack('<Q', len(record)) for record in records]
  checks = crc32c.masked(headers).astype('<u4').tobytes()
  data_checks = crc32c.masked(records).astype('<u4').tobytes()
  return [b''.join((header, checks[4 * i:4 * i + 4], record,
                    data_checks[4 * i:4 * i + 4]))
          for i, (header, record) in enumerate(zip(headers, records))]


def _open_local(path):
  return open(path, 'rb')


@dataclasses.dataclass(frozen=True)
class RecordIndex:
  """Where each record of some files lies.

  Attributes:
    paths: The files.
    file_numbers: Of each record, int32 [records].
    offsets: Of each record's frame in its file, int64 [records].
    lengths: Bytes of each record's data, int64 [records].
    opener: Opens a file for binary reading.
  """

  paths: tuple[str, ...]
  file_numbers: np.ndarray
  offsets: np.ndarray
  lengths: np.ndarray
  opener: Opener

  def __len__(self):
    return len(self.offsets)

  def read(self, numbers: np.ndarray) -> list[bytes]:
    """Reads records by their numbers, and checks their checksums.

    Raises:
      InputError: A record is damaged.
    """
    numbers = np.asarray(numbers)
    records: list[Any] = [None] * len(numbers)
    checks = np.empty(len(numbers), '<u4')
    for file_number in np.unique(self.file_numbers[numbers]):
      places = np.flatnonzero(self.file_numbers[numbers] == file_number)
      # Forwards, as a disk likes it.
      places = places[np.argsort(self.offsets[numbers[places]])]
      with self.opener(self.paths[file_number]) as stream:
        for place in places:
          records[place], checks[place] = self._read_one(
              stream, numbers[place])
    wrong = np.flatnonzero(crc32c.masked(records) != checks)
    if len(wrong):
      raise self._damaged(numbers[wrong[0]])
    return records

  def _read_one(self, stream, number):
    """Returns data and stored checksum of one record."""
    stream.seek(int(self.offsets[number]) + _HEADER)
    length = int(self.lengths[number])
    data = stream.read(length + _FRAME - _HEADER)
    if len(data) != length + _FRAME - _HEADER:
      raise self._damaged(number)
    return data[:length], struct.unpack_from('<I', data, length)[0]

  def _damaged(self, number):
    return errors.InputError(
        f'{self.paths[self.file_numbers[number]]}: damaged at byte '
        f'{self.offsets[number]}; expected the file as it was written.')


def index(paths: Sequence[str], opener: Opener = _open_local) -> RecordIndex:
  """Finds every record of some files, reading each file once.

  Args:
    paths: TFRecord files, not compressed.
    opener: Opens a file for binary reading.

  Raises:
    InputError: A file holds something else, is cut off, or holds nothing.
  """
  offsets, lengths = zip(*(_index_file(path, opener) for path in paths))
  counts = [len(each) for each in offsets]
  return RecordIndex(
      tuple(paths), np.repeat(np.arange(len(paths), dtype=np.int32), counts),
      np.concatenate(offsets), np.concatenate(lengths), opener)


def _index_file(path, opener):
  """Returns offsets and lengths of the records of one file."""
  offsets, headers, position = [], [], 0
  with opener(path) as stream:
    buffer, start = b'', 0
    while True:
      if position + _HEADER > start + len(buffer):
        if position != start + len(buffer):
          stream.seek(position)
        buffer, start = stream.read(_CHUNK), position
        if not buffer:
          break
      header = buffer[position - start:position - start + _HEADER]
      if len(header) < _HEADER:
        raise errors.InputError(f'{path}: cut off at byte {position}, expected '
                                'whole TFRecords.')
      length = struct.unpack_from('<Q', header)[0]
      if length > _LONGEST:
        raise _no_records(path, position)
      offsets.append(position)
      headers.append(header)
      position += length + _FRAME
    _check_end(stream, path, position)
  if not offsets:
    raise errors.InputError(f'{path}: empty, expected TFRecords.')
  joined = np.frombuffer(b''.join(headers), np.dtype(
      [('length', '<u8'), ('check', '<u4')]))
  wrong = np.flatnonzero(
      crc32c.masked([header[:8] for header in headers]) != joined['check'])
  if len(wrong):
    raise _no_records(path, offsets[wrong[0]])
  return np.array(offsets, np.int64), joined['length'].astype(np.int64)


def _check_end(stream, path, position):
  """Refuses a file whose last record is cut off."""
  stream.seek(position - 1 if position else 0)
  if position and len(stream.read(1)) != 1:
    raise errors.InputError(
        f'{path}: its last record is cut off, expected whole TFRecords.')


def _no_records(path, position):
  return errors.InputError(
      f'{path}: no TFRecord at byte {position}, expected what '
      'create_pretraining_data.py writes, not compressed.')
