"""Ways to damage and to forge files; each takes a random.Random and bytes.

Blind ones flip and move bytes of anything. The others know a format and keep
its checksums right, so that readers are met behind their first check.
"""

import io
import json
import random
import struct
import warnings
import zipfile

import numpy as np

_NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536,
            2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1)
_WORDS = ('0', '1', '-1', '00', '2', '16', '255', '65536', '4294967296',
          '9' * 18, '9' * 400, '1e9', '0x10', 'x', '', '\u0661', '+3', '1_0')


def blind(rng: random.Random, data: bytes) -> bytes:
  """Applies one to four mutations that know nothing of the format."""
  for _ in range(rng.randint(1, 4)):
    data = rng.choice(_BLIND)(rng, data)
  return data


def _flip_bits(rng, data):
  data = bytearray(data)
  for _ in range(rng.randint(1, 8) if data else 0):
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
  return bytes(data)


def _truncate(rng, data):
  return data[:rng.randint(0, len(data))]


def _append(rng, data):
  return data + rng.randbytes(rng.choice((1, 4, 100, 5000)))


def _remove(rng, data):
  start = rng.randint(0, len(data))
  return data[:start] + data[start + rng.choice((1, 2, 4, 64)):]


def _repeat(rng, data):
  start = rng.randint(0, len(data))
  end = min(len(data), start + rng.choice((1, 4, 64, 1000)))
  return data[:end] + data[start:end] * rng.randint(1, 3) + data[end:]


def _overwrite(rng, data):
  start = rng.randint(0, len(data))
  piece = rng.choice((b'\0', b'\xff', b'\x80', b'\x7f', b' ', b'\n'))
  return (data[:start] + piece * rng.choice((1, 2, 4, 16)) + data[start:])[
      :len(data)]


def _number(rng, data):
  """Writes a number that is often a limit over four or two bytes."""
  start = rng.randint(0, max(0, len(data) - 4))
  number = rng.choice(_NUMBERS)
  piece = (struct.pack('<I', number) if rng.random() < 0.6
           else struct.pack('<H', number & 65535))
  return data[:start] + piece + data[start + len(piece):]


_BLIND = (_flip_bits, _truncate, _append, _remove, _repeat, _overwrite,
          _number)


def forged_zip(rng: random.Random, data: bytes) -> bytes:
  """Writes an archive anew with one thing wrong, its checksums right."""
  with zipfile.ZipFile(io.BytesIO(data)) as archive:
    members = [(info.filename, archive.read(info))
               for info in archive.infolist()]
  return rng.choice(_ZIPS)(rng, members)


def _zip(members, method=zipfile.ZIP_STORED, comment=b''):
  stream = io.BytesIO()
  with warnings.catch_warnings(), zipfile.ZipFile(
      stream, 'w', method) as archive:
    # A name twice is meant.
    warnings.simplefilter('ignore')
    archive.comment = comment
    for name, content in members:
      # One date, so that a seed gives the same bytes on each day.
      info = zipfile.ZipInfo(name)
      info.compress_type = method
      archive.writestr(info, content)
  return stream.getvalue()


def _zip_damaged_member(rng, members):
  i = rng.randrange(len(members))
  members[i] = (members[i][0], blind(rng, members[i][1]))
  return _zip(members)


def _zip_forged_header(rng, members):
  """An array whose header promises something else."""
  i = rng.randrange(len(members))
  name, content = members[i]
  shape = rng.choice((
      '()', '(1,)', '(0,)', '(2, 2)', '(99999999999,)', f'({2 ** 62}, 4)',
      '(1, 1, 1, 1, 1)', '(-1,)', '(3)', '[3]', '(1,1)', '(True,)',
      '(' * 90 + ')' * 90, "('x',)", '(1, 2, 0)', '(4294967296, 4294967296)'))
  dtype = rng.choice(('|i1', '<i2', '<i4', '>i4', '<i8', '<f4', '|O', '<U9',
                      '|V4', '=i4', 'i4', '|u1', '', '<i3', ('a', '<i4')))
  order = rng.choice(('False', 'False', 'False', 'True', '1', 'None'))
  header = (f"{{'descr': {dtype!r}, 'fortran_order': {order}, "
            f"'shape': {shape}, }}").encode().ljust(rng.choice((1, 117, 600)))
  version = rng.choice((b'\1\0', b'\1\0', b'\1\0', b'\2\0', b'\3\0', b'\0\1'))
  data = content[10 + struct.unpack_from('<H', content, 8)[0]:]
  members[i] = (name, b'\x93NUMPY' + version
                + struct.pack('<H', len(header) + 1) + header + b'\n' + data)
  return _zip(members)


def _zip_packed(rng, members):
  """Packed files; sometimes a bomb: zeros that unpack to 64 MiB."""
  if rng.random() < 0.02:
    members[0] = (members[0][0], bytes(2 ** 26))
  return _zip(members, rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2,
                                   zipfile.ZIP_LZMA)))


def _zip_other_members(rng, members):
  i = rng.randrange(len(members))
  kind = rng.randrange(5)
  if kind == 0:
    del members[i]
  elif kind == 1:
    members.insert(i, rng.choice(members))
  elif kind == 2:
    members[i] = (rng.choice(('../x.npy', 'x', 'x.npy', 'weights_9.npy',
                              'a' * 300 + '.npy', '\xe9.npy', '')),
                  members[i][1])
  elif kind == 3:
    members += [(f'x{j}.npy', b'') for j in range(rng.choice((1, 300)))]
  else:
    rng.shuffle(members)
  return _zip(members)


def _zip_around(rng, members):
  data = _zip(members, comment=rng.choice((b'', b'comment')))
  return rng.choice((b'', b'prefix')) + data + rng.choice((b'', b'\0'))


def _zip_overlapping(rng, members):
  """Directory entries that lead to another file's bytes."""
  data = bytearray(_zip(members))
  places = [i for i in range(len(data)) if data[i:i + 4] == b'PK\1\2']
  one, other = rng.choice(places), rng.choice(places)
  if rng.random() < 0.5:
    # Only the size: it reaches over the files behind.
    size = rng.randint(0, places[0])
    data[one + 20:one + 28] = struct.pack('<II', size, size)
  else:
    data[one + 16:one + 28] = data[other + 16:other + 28]
    data[one + 42:one + 46] = data[other + 42:other + 46]
  return bytes(data)


_ZIPS = (_zip_damaged_member, _zip_forged_header, _zip_forged_header,
         _zip_packed, _zip_other_members, _zip_around, _zip_overlapping)


def forged_arrays(rng: random.Random, data: bytes) -> bytes:
  """Writes a .npz anew with other values, shapes or types in some arrays."""
  with np.load(io.BytesIO(data), allow_pickle=False) as archive:
    arrays = dict(archive)
  for name in rng.sample(sorted(arrays), rng.choice((1, 1, 1, 2, 3))):
    arrays[name] = rng.choice(_ARRAYS)(rng, arrays[name])
  stream = io.BytesIO()
  np.savez(stream, **arrays)
  return stream.getvalue()


def _array_value(rng, array):
  array = array.copy()
  information = np.iinfo(array.dtype)
  value = rng.choice((0, 1, -1, rng.randint(-70, 70), information.max,
                      information.min, rng.randint(-2000, 2000)))
  value = min(max(value, information.min), information.max)
  array[tuple(rng.randrange(size) for size in array.shape)] = value
  return array


def _array_fill(rng, array):
  information = np.iinfo(array.dtype)
  return np.full_like(array, rng.choice((0, 1, information.max,
                                         information.min)))


def _array_shape(rng, array):
  shape = list(array.shape) or [1]
  shape[rng.randrange(len(shape))] = rng.choice((0, 1, 2, 5, 33, 200))
  return np.resize(array, shape[:rng.randint(1, 4)])


def _array_type(rng, array):
  return array.astype(rng.choice(('i1', '<i2', '<i4', '<i8', '>i4', 'f4')))


_ARRAYS = (_array_value, _array_value, _array_value, _array_fill, _array_shape,
           _array_type)


def forged_json(rng: random.Random, data: bytes) -> bytes:
  """Changes one value or key of a JSON object, however deep."""
  told = json.loads(data)
  place = told
  while True:
    keys = (sorted(place) if isinstance(place, dict)
            else range(len(place)))
    key = rng.choice(keys)
    inner = place[key]
    if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
      break
    place = inner
  if isinstance(place, dict) and rng.random() < 0.3:
    place[rng.choice(('', '/', '..', '.', 'a' * 999, '\0', 'filter.npz/x',
                      './filter.npz', 'filter.json'))] = place.pop(key)
  else:
    place[key] = rng.choice((
        None, True, -1, 0, 1, 2.5, 1e308, 10 ** 30, '', 'x', [], {}, [[]],
        float('nan'), '0' * 64, {'filter.npz': 3}, ['x'] * 100))
  text = json.dumps(told)
  if rng.random() < 0.05:
    depth = rng.choice((400, 990, 5000))
    text = text.replace('"description": {', '"description": {"x": '
                        + '[' * depth + ']' * depth + ',', 1)
  return text.encode(rng.choice(('utf-8', 'utf-8', 'utf-8', 'utf-16')))


def forged_words(rng: random.Random, data: bytes) -> bytes:
  """Changes words of a Y4M header, or its line of a frame."""
  head, _, rest = data.partition(b'\n')
  words = head.decode('latin-1').split(' ')
  for _ in range(rng.randint(1, 3)):
    i = rng.randrange(len(words))
    tag = rng.choice((words[i][:1], 'W', 'H', 'C', 'I', 'X', 'F', ''))
    value = rng.choice(_WORDS + (
        '420', '422p10', '444p16', 'mono', 'mono9', '420jpeg', '411', 'p', 't',
        '420p4294967304', '420paldvp8'))
    words[i:i + rng.randint(0, 1)] = [tag + value]
  if rng.random() < 0.3:
    rest = blind(rng, rest)
  return ' '.join(words).encode('utf-8') + b'\n' + rest


def size_words(rng: random.Random) -> str:
  """Makes the name of a YUV file, with a size and a depth that may be odd."""
  size = 'x'.join(rng.choice(('4', '6', '5') if rng.random() < 0.8 else _WORDS)
                  for _ in range(2))
  depth = rng.choice(('', '', '_8bit', '_10bit', '_12bit', '_99bit', '_0bit'))
  return f'a_{size[:180]}{depth}{rng.choice(("", "_1f", "_2f", "_99999f"))}'
