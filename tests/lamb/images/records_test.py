import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from lamb import errors
from lamb.images import records
from tests.lamb.images import pictures


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('data')
  pictures.write(path)
  return path


@pytest.fixture(scope='module')
def many_files(tmp_path_factory):
  """Five files of 3, 2, 4, 1 and 5 records that hold their own numbers."""
  path, lengths, number = tmp_path_factory.mktemp('files'), (3, 2, 4, 1, 5), 0
  for index, length in enumerate(lengths):
    with tf.io.TFRecordWriter(str(path / str(index))) as writer:
      for _ in range(length):
        writer.write(str(number).encode())
        number += 1
  return records.Source(tuple(str(path / str(i)) for i in range(5)), lengths,
                        parse=lambda record: record)


def _read(source, count, start=0, host=records.ALONE, seed=0, shuffle=100):
  dataset = records.training_records(
      source, seed=seed, start=start, count=count, shuffle_records=shuffle,
      host=host)
  return [int(each) for each in dataset.take(count).as_numpy_iterator()]


def test_each_epoch_has_every_record_once_in_another_order(many_files):
  found = _read(many_files, 30)
  assert sorted(found[:15]) == sorted(found[15:]) == list(range(15))
  assert found[:15] != found[15:]
  assert found != _read(many_files, 30, seed=1)


@pytest.mark.parametrize('start', [1, 14, 15, 16, 29])
def test_reading_goes_on_where_it_stopped(many_files, start):
  whole = _read(many_files, 40)
  assert _read(many_files, 40 - start, start) == whole[start:]


@pytest.mark.parametrize('count', [2, 5, 7])
def test_hosts_share_the_records_without_overlap(many_files, count):
  # 7 hosts are more than the files, 2 and 5 are not.
  parts = []
  for index in range(count):
    host = records.Host(index, count)
    if count <= 5:
      rng = np.random.default_rng((0, 0))
      own = sum(many_files.lengths[i]
                for i in rng.permutation(5)[index::count])
    else:
      own = len(range(index, 15, count))
    parts += _read(many_files, own, host=host)
  assert sorted(parts) == list(range(15))


def test_stored_data_set_is_read_with_its_labels(folder):
  source = pictures.open_split(folder, 'train')
  assert len(source) == pictures.TRAIN
  found = [int(source.parse(record)['label'])
           for record in records.evaluation_records(source)]
  assert sorted(found) == sorted(np.arange(pictures.TRAIN) % 4)


def test_unknown_split_and_wrong_classes_are_refused(folder):
  with pytest.raises(errors.InputError, match="'val', expected one of t"):
    pictures.open_split(folder, 'val')
  with pytest.raises(errors.InputError, match='got 10, tiny has 4'):
    records.open_split('tiny', 'train', str(folder), 10)


def test_unknown_data_set_is_named(tmp_path):
  with pytest.raises(errors.InputError, match='dataset no_such_set: not'):
    records.open_split('no_such_set', 'train', str(tmp_path), 4)


@pytest.mark.parametrize('message, words', [
    ('no such host\nmore', 'OSError: no such host'),
    ('', 'OSError: no reason told')])
def test_a_failed_download_is_told_in_one_line(
    monkeypatch, tmp_path, message, words):
  def fail(name, data_dir):
    raise OSError(message)
  monkeypatch.setattr('tensorflow_datasets.builder', fail)
  with pytest.raises(errors.InputError, match=f'could not be .{words}.[.]$'):
    records.open_split('tiny', 'train', str(tmp_path), 4)


def test_split_without_records_is_refused(many_files):
  empty = dataclasses.replace(many_files, files=(), lengths=())
  with pytest.raises(errors.InputError, match='no records'):
    _read(empty, 1)
