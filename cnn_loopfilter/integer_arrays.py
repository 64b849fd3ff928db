"""Reads the ZIP of integer arrays that `numpy.savez` writes, and no other.

An exported filter may come from anywhere, so this is stricter than NumPy: all
sizes are compared with the bytes that are there before memory is taken,
nothing is unpacked or unpickled, and what NumPy would not write itself is
refused. docs/dfp-format.md states the subset; the C decoder reads the same.

  end record -> directory -> files, stored -> .npy header, data
"""

import math
import re
import struct
import zlib

import numpy as np

from cnn_loopfilter import errors

_MAX_MEMBERS = 256
_MAX_NAME = 31
_MAX_HEADER = 512
_END = struct.Struct('<4sHHHHIIH')
# signature, version made by, version needed | flags, method | time, date |
# CRC, packed size, size | lengths of name, extra field, comment | disk and
# attributes | place of the local header.
_ENTRY = struct.Struct('<4s4xHH4xIIIHHH8xI')
_LOCAL = struct.Struct('<4s22xHH')
_SIZE = rb'[1-9][0-9]{0,17}'
_HEADER = re.compile(
    rb"\{'descr': '(\|i1|<i2|<i4)', 'fortran_order': False, 'shape': "
    rb'\((|' + _SIZE + rb',|' + _SIZE + rb'(?:, ' + _SIZE
    + rb'){1,3})\), \} *\n')


def read(content: bytes) -> dict[str, np.ndarray]:
  """Reads all arrays of an archive.

  Args:
    content: the archive, whole.

  Returns:
    Arrays by name, read only; views of `content`.

  Raises:
    InputError: if anything differs from what `numpy.savez` writes for
      little-endian integers of 1, 2 or 4 bytes, at most 4 axes, none empty.
  """
  end = len(content) - _END.size
  if end < 0:
    raise errors.InputError('no ZIP archive (too short)')
  signature, disk, other, here, count, size, start, comment = (
      _END.unpack_from(content, end))
  if signature != b'PK\5\6' or comment:
    raise errors.InputError('no ZIP archive, or one with something behind it')
  if (disk or other or here != count or count > _MAX_MEMBERS
      or start + size != end):
    raise errors.InputError("the archive's directory is damaged")
  arrays, place, left = {}, start, start
  for _ in range(count):
    name, data, place = _entry(content, start, place, end)
    left -= len(data)
    if name in arrays or left < 0:
      raise errors.InputError(
          f'{name}: twice in the archive, or over another file')
    arrays[name] = _array(name, data)
  if place != end:
    raise errors.InputError("the archive's directory is damaged")
  return arrays


def _entry(content, start, place, end):
  """Returns name and bytes of a file, and the place of the next entry."""
  if end - place < _ENTRY.size:
    raise errors.InputError("the archive's directory is damaged")
  (signature, flags, method, crc, packed, size, name_size, extra, comment,
   local) = _ENTRY.unpack_from(content, place)
  after = place + _ENTRY.size + name_size + extra + comment
  if signature != b'PK\1\2' or after > end:
    raise errors.InputError("the archive's directory is damaged")
  if flags or method or packed != size:
    raise errors.InputError(
        "the archive's files are packed, expected them stored")
  raw = content[place + _ENTRY.size:place + _ENTRY.size + name_size]
  if not (4 < name_size <= _MAX_NAME + 4 and raw.endswith(b'.npy')
          and b'\0' not in raw):
    raise errors.InputError(
        'a file with another name in the archive, expected NAME.npy')
  name = raw[:-4].decode('latin-1')
  return name, _stored(content, start, local, raw, size, crc), after


def _stored(content, start, local, raw, size, crc):
  """Returns the bytes of a file behind its own header, checked."""
  outside = errors.InputError(f'{raw!r}: lies outside the archive')
  if local + _LOCAL.size > start:
    raise outside
  signature, name_size, extra = _LOCAL.unpack_from(content, local)
  named = local + _LOCAL.size
  first = named + name_size + extra
  if (signature != b'PK\3\4' or content[named:named + name_size] != raw
      or first + size > start):
    raise outside
  data = memoryview(content)[first:first + size]
  if zlib.crc32(data) != crc:
    raise errors.InputError(f'{raw!r}: damaged, its CRC differs')
  return data


def _array(name, data):
  """Reads a .npy file of format 1.0."""
  if len(data) < 10 or data[:8] != b'\x93NUMPY\1\0':
    raise errors.InputError(f'{name}: expected the .npy format 1.0')
  first = 10 + int.from_bytes(data[8:10], 'little')
  header = _HEADER.fullmatch(bytes(data[10:min(first, 10 + _MAX_HEADER)]))
  if header is None or first > min(len(data), 10 + _MAX_HEADER):
    raise errors.InputError(
        f'{name}: expected little-endian integers in C order')
  dtype = np.dtype(header[1].decode())
  axes = [int(size) for size in header[2].split(b',') if size]
  if math.prod(axes) * dtype.itemsize != len(data) - first:
    raise errors.InputError(
        f'{name}: {axes} items do not fit the {len(data) - first} bytes in '
        'the file')
  return np.frombuffer(data, dtype, offset=first).reshape(axes)
