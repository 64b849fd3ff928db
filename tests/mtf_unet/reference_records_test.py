import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import errors
from mtf_unet import reference_records
from tests.mtf_unet import scans


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'train.tfrecord'


def _error(call, path):
  with pytest.raises(errors.InputError) as caught:
    call()
  assert str(path) in str(caught.value)
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_cubes_are_read_as_tensorflow_wrote_them(path):
  cubes = scans.records(path)
  assert reference_records.count(path) == 3
  for number, (image, label) in enumerate(cubes):
    read = reference_records.read_cube(path, number)
    np.testing.assert_array_equal(read[0], image)
    np.testing.assert_array_equal(read[1], label)


@pytest.mark.parametrize('kept', [0.2, 0.7, 0.98], ids=str)
def test_a_truncated_file_is_refused(path, kept):
  scans.records(path)
  scans.truncate(path, kept)
  assert 'truncated' in _error(lambda: reference_records.count(path), path)


def test_a_cut_between_two_records_is_noticed(path):
  scans.records(path)
  scans.gzip_cut_between_records(path, kept=2)
  assert 'truncated' in _error(lambda: reference_records.count(path), path)


def test_a_record_cut_before_it_was_packed_is_refused(path):
  image, label = scans.pair(0, shape=(6, 6, 6))
  data = scans.example(image, label).SerializeToString()
  frame = len(data).to_bytes(8, 'little') + bytes(4) + data[:-9]
  with tf.io.gfile.GFile(str(path), 'wb') as stream:
    stream.write(scans.gzip.compress(frame))
  assert 'cut off' in _error(lambda: reference_records.count(path), path)


def test_a_file_that_is_not_packed_is_refused(path):
  path.write_bytes(b'not gzip at all')
  assert 'GZIP TFRecord' in _error(lambda: reference_records.count(path), path)


def test_a_record_without_the_two_cubes_is_refused(path):
  with tf.io.TFRecordWriter(str(path), options='GZIP') as writer:
    writer.write(tf.train.Example().SerializeToString())
  assert 'image/ct_image' in _error(
      lambda: reference_records.read_cube(path, 0), path)


def test_a_record_that_is_no_example_is_refused(path):
  with tf.io.TFRecordWriter(str(path), options='GZIP') as writer:
    writer.write(b'\xff\xff\xff')
  assert 'record 0' in _error(
      lambda: reference_records.read_cube(path, 0), path)


def test_a_record_that_is_no_cube_is_refused(path):
  image, label = scans.pair(0, shape=(6, 6, 7))
  with tf.io.TFRecordWriter(str(path), options='GZIP') as writer:
    writer.write(scans.example(image, label).SerializeToString())
  assert 'resolution^3' in _error(
      lambda: reference_records.read_cube(path, 0), path)
