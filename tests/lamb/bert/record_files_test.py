import numpy as np
import pytest
import tensorflow as tf

from lamb import errors
from lamb.bert import crc32c
from lamb.bert import record_files

RECORDS = [b'', b'abc', bytes(range(256)) * 5, b'x']


def _write(folder, content):
  path = folder / 'some.tfrecord'
  path.write_bytes(content)
  return str(path)


def test_checksum_of_the_standard_is_masked():
  # RFC 3720 and others: CRC-32C of '123456789' is E3069283.
  plain = 0xE3069283
  expected = ((plain >> 15 | plain << 17) + 0xA282EAD8) & 0xFFFFFFFF
  assert crc32c.masked([b'', b'123456789'])[1] == expected
  assert crc32c.masked([]).shape == (0,)


def test_frames_are_read_by_tensorflow(tmp_path):
  path = _write(tmp_path, b''.join(record_files.frames(RECORDS)))
  assert list(tf.data.TFRecordDataset(path).as_numpy_iterator()) == RECORDS


def test_records_of_tensorflow_are_read_in_any_order(tmp_path):
  paths = [str(tmp_path / name) for name in 'ab']
  for path in paths:
    with tf.io.TFRecordWriter(path) as writer:
      for record in RECORDS:
        writer.write(record + path[-1:].encode())
  index = record_files.index(paths)
  assert len(index) == 8
  assert index.read(np.array([6, 0, 3])) == [RECORDS[2] + b'b', b'a', b'xa']


def test_index_reads_on_after_a_chunk(tmp_path, monkeypatch):
  monkeypatch.setattr(record_files, '_CHUNK', 20)
  path = _write(tmp_path, b''.join(record_files.frames(RECORDS)))
  assert record_files.index([path]).read(np.arange(4)) == RECORDS


@pytest.mark.parametrize('spoil, message', [
    pytest.param(lambda data: b'', 'empty, expected', id='empty'),
    pytest.param(lambda data: data[:-1], 'its last record is cut off',
                 id='cut_in_data'),
    pytest.param(lambda data: data + b'\0' * 5, 'cut off at byte',
                 id='cut_in_header'),
    pytest.param(lambda data: b'This is text, not records.', 'no TFRecord at',
                 id='text'),
    pytest.param(lambda data: data[:9] + b'\0' + data[10:],
                 'no TFRecord at byte 0', id='damaged_length'),
])
def test_file_that_is_no_record_file_is_refused(tmp_path, spoil, message):
  path = _write(tmp_path, spoil(b''.join(record_files.frames(RECORDS))))
  with pytest.raises(errors.InputError, match=message) as caught:
    record_files.index([path])
  assert path in str(caught.value)


def test_damaged_data_is_told_when_it_is_read(tmp_path):
  data = bytearray(b''.join(record_files.frames(RECORDS)))
  data[-5] ^= 1
  index = record_files.index([_write(tmp_path, bytes(data))])
  assert index.read(np.array([1])) == [b'abc']
  with pytest.raises(errors.InputError, match='damaged at byte'):
    index.read(np.array([3]))
