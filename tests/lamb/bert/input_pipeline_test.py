import numpy as np
import pytest
import tensorflow as tf

from lamb import errors
from lamb.bert import input_pipeline
from tests.lamb.bert import small

SHAPE = input_pipeline.Shape(16, 3)


def _batches(dataset, count):
  return [each['input_ids'] for each in dataset.take(
      count).as_numpy_iterator()]


def _training(path, *, first_step=0, seed=1, **share):
  share = {'global_batch': 8, 'batch': 8, **share}
  return input_pipeline.training_dataset(
      (path,), SHAPE, input_pipeline.Share(**share), seed=seed,
      first_step=first_step)


def test_epoch_visits_every_record_once(tmp_path):
  path = small.write_records(tmp_path / 'a', 40)
  rows = np.concatenate(_batches(_training(path), 5))
  expected = small.arrays(40)['input_ids']
  assert sorted(map(tuple, rows)) == sorted(map(tuple, expected))
  assert not np.array_equal(rows, expected)


def test_next_epoch_and_other_seed_have_another_order():
  first, second = input_pipeline.record_numbers(0, 80, 40, 1).reshape(2, 40)
  assert not np.array_equal(first, second)
  assert not np.array_equal(
      first, input_pipeline.record_numbers(0, 40, 40, 2))


def test_resuming_goes_on_at_the_same_batch(tmp_path):
  path = small.write_records(tmp_path / 'a', 13)
  whole = _batches(_training(path), 6)
  rest = _batches(_training(path, first_step=4), 2)
  np.testing.assert_array_equal(whole[4:], rest)


def test_hosts_and_replicas_share_the_batch(tmp_path):
  path = small.write_records(tmp_path / 'a', 40)
  whole = _batches(_training(path), 2)
  parts = [_batches(_training(path, batch=2, host=host, hosts=2), 4)
           for host in range(2)]
  for step in range(2):
    np.testing.assert_array_equal(whole[step], np.concatenate(
        [parts[host][2 * step + replica]
         for host in range(2) for replica in range(2)]))


def test_examples_are_numbered_within_the_batch(tmp_path):
  path = small.write_records(tmp_path / 'a', 40)
  dataset = _training(path, batch=2, host=1, hosts=2).take(3)
  assert [each[input_pipeline.EXAMPLE_NUMBERS].tolist()
          for each in dataset.as_numpy_iterator()] == [[4, 5], [6, 7], [4, 5]]


def test_evaluation_fills_the_last_batch_up(tmp_path):
  path = small.write_records(tmp_path / 'a', 5)
  assert input_pipeline.evaluation_steps((path,), 4) == 2
  found = list(input_pipeline.evaluation_dataset(
      (path,), SHAPE, input_pipeline.Share(4, 4), steps=2
  ).as_numpy_iterator())
  weights = np.concatenate(
      [each[input_pipeline.EXAMPLE_WEIGHTS] for each in found])
  assert weights.tolist() == [1] * 5 + [0] * 3
  np.testing.assert_array_equal(
      np.concatenate([each['input_ids'] for each in found])[:5],
      small.arrays(5)['input_ids'])


def test_files_are_divided_by_their_sequence_length(tmp_path):
  short = small.write_records(tmp_path / 'a', 2)
  long = small.write_records(tmp_path / 'b', 2, length=32)
  shapes = [SHAPE, input_pipeline.Shape(32, 3)]
  assert input_pipeline.files_of([long, short], shapes) == [(short,), (long,)]


def test_records_of_another_length_are_refused(tmp_path):
  path = small.write_records(tmp_path / 'a', 2)
  with pytest.raises(errors.InputError, match=(
      'sequences of 16 with 3 predictions, expected 128 with 20')):
    input_pipeline.files_of([path], [input_pipeline.Shape(128, 20)])
  with pytest.raises(errors.InputError, match='no file with sequences of 32'):
    input_pipeline.files_of([path], [SHAPE, input_pipeline.Shape(32, 5)])


@pytest.mark.parametrize('content, message', [
    (b'', 'holds no TFRecord'), (b'text' * 9, 'no pre-training records')])
def test_file_without_records_is_refused(tmp_path, content, message):
  (tmp_path / 'a').write_bytes(content)
  with pytest.raises(errors.InputError, match=message):
    input_pipeline.shape_of(str(tmp_path / 'a'))


def test_records_of_another_kind_are_refused(tmp_path):
  with tf.io.TFRecordWriter(str(tmp_path / 'a')) as writer:
    writer.write(tf.train.Example().SerializeToString())
  with pytest.raises(errors.InputError, match='records without input_ids'):
    input_pipeline.shape_of(str(tmp_path / 'a'))


def test_pattern_that_matches_nothing_is_refused(tmp_path):
  small.write_records(tmp_path / 'a1', 2)
  assert len(input_pipeline.expand(f'{tmp_path}/a*,{tmp_path}/a1')) == 1
  with pytest.raises(errors.InputError, match='nothing matches'):
    input_pipeline.expand(f'{tmp_path}/b*')
