import hashlib
import io
import struct
import zlib

import numpy as np
import pytest

from cnn_loopfilter import blocks
from cnn_loopfilter import errors
from cnn_loopfilter import frames
from cnn_loopfilter import pretrained
from cnn_loopfilter import side_file

_HEADER = side_file.Header(blocks.Grid(frames.Format(130, 70, 10, '422'), 32),
                           'arithmetic', bytes(range(32)))


def _records(count):
  random = np.random.default_rng(0)
  return [side_file.Record(
      int(random.integers(0, 64)), random.bytes(int(random.integers(0, 9))),
      int(random.integers(0, 2 ** 32)),
      random.integers(0, 64, (3, 5)).astype(np.uint8) if number % 2 else None)
          for number in range(count)]


def _written(records=(), header=_HEADER, *, finish=True):
  stream = io.BytesIO()
  writer = side_file.Writer(stream, header)
  for record in records:
    writer.add(record)
  if finish:
    writer.finish()
  return stream.getvalue()


def _read(data):
  return list(side_file.Reader(io.BytesIO(data), 'x.clf').records())


def test_records_come_back():
  written = _records(5)
  reader = side_file.Reader(io.BytesIO(_written(written)), 'x.clf')
  assert reader.header == _HEADER
  for first, second in zip(written, reader.records(), strict=True):
    assert (first.qp, first.switches, first.output_crc) == (
        second.qp, second.switches, second.output_crc)
    assert (first.block_qps is None) == (second.block_qps is None)
    if first.block_qps is not None:
      np.testing.assert_array_equal(first.block_qps, second.block_qps)


def test_bytes_are_those_of_the_specification():
  data = _written([side_file.Record(37, b'\xa0', 0x01020304)],
                  side_file.Header(blocks.Grid(frames.Format(64, 32)),
                                   'plain', b'f' * 32))
  header = (b'CNNLFCLF' + bytes.fromhex('0100 3c00 40000000 20000000')
            + bytes([8, 1, 64, 0]) + b'f' * 32)
  record = b'F' + bytes([37, 0, 0, 1, 0, 0, 0, 4, 3, 2, 1]) + b'\xa0'
  end = b'E' + bytes([0, 0, 0, 1, 0, 0, 0])
  expected, crc = b'', 0
  for part in (header, record, end):
    crc = zlib.crc32(part, crc)
    expected += part + struct.pack('<I', crc)
  assert data == expected


def test_records_are_read_while_the_file_is_written():
  data = _written(_records(3), finish=False)
  records = side_file.Reader(io.BytesIO(data), 'x.clf').records()
  assert [next(records).qp for _ in range(3)] == [r.qp for r in _records(3)]
  with pytest.raises(errors.InputError, match='ends within the record of '
                                              'frame 3'):
    next(records)


def test_a_changed_byte_anywhere_is_found():
  data = _written(_records(3))
  for place in range(len(data)):
    changed = bytearray(data)
    changed[place] ^= 0x11
    with pytest.raises(errors.InputError, match='x.clf: '):
      _read(bytes(changed))


def test_every_shorter_file_is_found():
  data = _written(_records(3))
  for size in range(len(data)):
    with pytest.raises(errors.InputError, match=r'x.clf: (ends|got)'):
      _read(data[:size])


def test_records_out_of_order_are_found():
  one, two = (side_file.Record(30, b'', 1), side_file.Record(31, b'', 2))
  first, second = _written([one, two]), _written([two, one])
  # Header, then two records of 16 bytes each.
  swapped = first[:60] + first[76:92] + first[60:76] + first[92:]
  assert len(first) == len(second) == len(swapped)
  with pytest.raises(errors.InputError, match='frame 0 is wrong'):
    _read(swapped)


@pytest.mark.parametrize('fields, message', [
    ({'version': 2}, 'got version 2, expected 1'),
    ({'width': 2 ** 31}, 'got a header of 60 bytes, 2147483648x32'),
    ({'chroma': 4}, 'chroma 4'), ({'coding': 2}, 'coding 2'),
    ({'block': 16}, 'got 16 luma samples'), ({'depth': 9}, 'got 9, expected'),
    ({'width': 0}, 'got 0x32'),
])
def test_headers_that_do_not_fit_are_told(fields, message):
  told = {'version': 1, 'size': 60, 'width': 64, 'height': 32, 'depth': 8,
          'chroma': 1, 'block': 64, 'coding': 0} | fields
  data = struct.pack('<8sHHII4B32s', b'CNNLFCLF', *told.values(), bytes(32))
  with pytest.raises(errors.InputError, match=message):
    _read(data + struct.pack('<I', zlib.crc32(data)))


@pytest.mark.parametrize('qp, kind, size, message', [
    (64, 0, 0, 'has QP 64'), (30, 2, 0, 'kind 2'),
    (30, 0, 2 ** 32 - 1, '4294967295 bytes of switches'),
    (30, 0, 103, 'expected at most 63, 1 and 102'),
])
def test_sizes_are_checked_before_memory_is_taken(qp, kind, size, message):
  data = _written(finish=False) + struct.pack('<BBHII', ord('F'), qp, kind,
                                              size, 0)
  with pytest.raises(errors.InputError, match=message):
    _read(data)


def test_more_after_the_end_is_told():
  with pytest.raises(errors.InputError, match='goes on after its end record'):
    _read(_written() + b'E')
  with pytest.raises(errors.InputError, match="record of type b'G'"):
    _read(_written(finish=False) + b'G')


def test_frames_beyond_the_limit_are_refused():
  header = side_file.Header(blocks.Grid(frames.Format(16386, 2)), 'plain',
                            bytes(32))
  with pytest.raises(errors.InputError, match='got frames of 16386x2'):
    side_file.Writer(io.BytesIO(), header)


def test_a_filter_is_told_by_its_integers():
  data = (pretrained.folder() / 'filter.npz').read_bytes()
  assert side_file.digest_of(pretrained.folder()) == hashlib.sha256(
      data).digest()


def test_a_frames_checksum_is_the_one_of_its_bytes():
  layout = frames.Format(8, 4, 10, '420')
  frame = frames.frame_from_bytes(bytes(range(layout.frame_bytes)), layout)
  assert side_file.frame_crc(frame) == zlib.crc32(frame.to_bytes())
