import io
import struct
import zipfile

import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import integer_arrays

_ARRAYS = {'a': np.arange(-6, 6, dtype=np.int16).reshape(2, 2, 3),
           'b': np.int32(-7), 'c': np.array([127, -128], np.int8)}


def _saved(save=np.savez, **arrays):
  stream = io.BytesIO()
  save(stream, **(arrays or _ARRAYS))
  return stream.getvalue()


def _forged(name='a.npy', header=None, data=b'', magic=b'\x93NUMPY\1\0'):
  """An archive of one file, with NumPy's header or another."""
  header = (header or "{'descr': '|i1', 'fortran_order': False, "
            "'shape': (3,), }").encode() + b'\n'
  stream = io.BytesIO()
  with zipfile.ZipFile(stream, 'w') as archive:
    archive.writestr(name, magic + struct.pack('<H', len(header)) + header
                     + data)
  return stream.getvalue()


def test_what_numpy_saves_is_read():
  found = integer_arrays.read(_saved())
  assert found.keys() == _ARRAYS.keys()
  for name, array in _ARRAYS.items():
    assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found[name], array)


def test_a_header_without_padding_is_read():
  found = integer_arrays.read(_forged(data=b'\1\2\xff'))
  np.testing.assert_array_equal(found['a'], [1, 2, -1])


@pytest.mark.parametrize(('content', 'message'), [
    (b'', 'too short'),
    (b'x' * 50, 'no ZIP archive'),
    (_saved() + b'\0', 'no ZIP archive, or one with something behind it'),
    (b'\0' + _saved(), 'directory is damaged'),
    (_saved(np.savez_compressed), 'packed, expected them stored'),
    (_saved(x=np.zeros(3)), 'little-endian integers in C order'),
    (_saved(x=np.zeros(3, '>i4')), 'little-endian integers in C order'),
    (_saved(x=np.zeros([2, 3], np.int8, order='F')), 'in C order'),
    (_saved(x=np.zeros([1] * 5, np.int8)), 'little-endian integers'),
    (_saved(x=np.zeros(0, np.int8)), 'little-endian integers'),
    (_forged(data=b'12'), r'\[3\] items do not fit the 2 bytes'),
    (_forged(name='a'), 'another name'),
    (_forged(name='a' * 40 + '.npy'), 'another name'),
    (_forged(header='{}'), 'little-endian integers'),
    (_forged(magic=b'\x93NUMPY\2\0', data=b'123'), 'the .npy format 1.0'),
], ids=['empty', 'no_zip', 'behind', 'before', 'packed', 'float', 'big_endian',
        'fortran', 'five_axes', 'no_item', 'short', 'no_ending', 'long_name',
        'header', 'version'])
def test_anything_else_is_refused(content, message):
  with pytest.raises(errors.InputError, match=message):
    integer_arrays.read(content)


def test_a_flipped_bit_in_an_array_is_found():
  content = bytearray(_saved())
  content[content.index(_ARRAYS['a'].tobytes())] ^= 1
  with pytest.raises(errors.InputError, match='damaged, its CRC differs'):
    integer_arrays.read(bytes(content))


@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_a_name_twice_is_refused():
  stream = io.BytesIO()
  with zipfile.ZipFile(io.BytesIO(_saved())) as source, zipfile.ZipFile(
      stream, 'w') as target:
    for _ in range(2):
      target.writestr('a.npy', source.read('a.npy'))
  with pytest.raises(errors.InputError, match='a: twice in the archive'):
    integer_arrays.read(stream.getvalue())


def overlapping_archive():
  """One file whose data are the other one, which the directory lists too."""
  inner = _saved(b=np.zeros(500, np.int8))
  file, directory = inner[:inner.index(b'PK\1\2')], inner[
      inner.index(b'PK\1\2'):-22]
  outer = bytearray(_saved(a=np.frombuffer(file, np.int8)))
  entry = directory[:42] + struct.pack('<I', outer.index(file)) + directory[46:]
  outer[-22:-22] = entry
  outer[-14:-6] = struct.pack('<HHI', 2, 2, 2 * len(entry))
  return bytes(outer)


def test_files_over_one_another_are_refused():
  # Many of them would be read again and again.
  with pytest.raises(errors.InputError, match='b: .*over another file'):
    integer_arrays.read(overlapping_archive())
