import random

import numpy as np
import pytest
import tensorflow as tf

from lamb import errors
from lamb.bert import data_creation
from lamb.bert import text_files
from tests.lamb.bert import in_memory_creation
from tests.lamb.bert import small


def _config(**options):
  return data_creation.DataConfig(
      small.VOCABULARY, **{'max_seq_length': 32, 'max_predictions_per_seq': 5,
                           'dupe_factor': 2, **options})


def _text(folder, content=None):
  path = folder / 'text.txt'
  path.write_text(small.text() if content is None else content,
                  encoding='utf-8')
  return str(path)


def _create(folder, config=None, files=1, **options):
  outputs = [folder / f'{i}.tfrecord' for i in range(files)]
  made = data_creation.create(
      [_text(folder)], outputs, config or _config(), **options)
  return made, [path.read_bytes() for path in outputs]


def _parse(path):
  features = [tf.train.Example.FromString(record).features.feature
              for record in tf.data.TFRecordDataset(
                  str(path)).as_numpy_iterator()]
  return {name: np.array([
      each[name].int64_list.value or each[name].float_list.value
      for each in features]) for name in features[0]}


def test_records_hold_what_bert_reads(tmp_path):
  made, _ = _create(tmp_path)
  found = _parse(tmp_path / '0.tfrecord')
  ids, mask = found['input_ids'], found['input_mask']
  assert len(ids) == made.records > 20
  masked = np.take_along_axis(ids, found['masked_lm_positions'], 1)
  there = found['masked_lm_weights'] > 0
  assert 0.6 < (masked == 4)[there].mean() < 0.95
  # The text before masking: a random token may be a special one.
  rows = np.nonzero(there)[0]
  ids[rows, found['masked_lm_positions'][there]] = found['masked_lm_ids'][there]
  lengths = mask.sum(1)
  assert (mask == (np.arange(32) < lengths[:, None])).all()
  assert (ids[:, 0] == 2).all() and (ids[mask == 0] == 0).all()
  for row, length in enumerate(lengths):
    first, last = np.flatnonzero(ids[row] == 3)
    assert last == length - 1
    expected = (np.arange(32) > first) & (np.arange(32) <= last)
    np.testing.assert_array_equal(found['segment_ids'][row], expected)
  assert set(np.unique(found['next_sentence_labels'])) == {0, 1}


@pytest.mark.slow
def test_processes_do_not_change_the_files(tmp_path, monkeypatch):
  # Chunks are cut by the first process, so many come of little text.
  chunks = text_files.chunks
  monkeypatch.setattr(text_files, 'chunks', lambda paths, progress: chunks(
      paths, 500, progress))
  one = _create(tmp_path, files=3)
  two = _create(tmp_path, files=3, processes=2)
  assert one == two
  assert one[0].documents == 20


def test_seed_changes_the_files_and_repeats_them(tmp_path):
  first = _create(tmp_path)
  assert _create(tmp_path) == first
  assert _create(tmp_path, _config(random_seed=1))[1] != first[1]


def test_statistics_are_those_of_the_in_memory_way(tmp_path):
  made, _ = _create(tmp_path, _config(dupe_factor=30))
  documents = in_memory_creation.documents(
      _text(tmp_path), set(small.VOCABULARY))
  theirs = in_memory_creation.examples(
      documents, small.VOCABULARY, random.Random(0), length=32, most=5,
      dupes=30)
  assert abs(made.records / len(theirs) - 1) < 0.05
  ours = _parse(tmp_path / '0.tfrecord')
  for mine, other in [
      (ours['input_mask'].sum(1), [len(each[0]) for each in theirs]),
      (ours['masked_lm_weights'].sum(1), [len(each[1]) for each in theirs]),
      (ours['next_sentence_labels'], [each[4] for each in theirs])]:
    assert abs(np.mean(mine) / np.mean(other) - 1) < 0.05


def test_whole_words_are_masked(tmp_path):
  made, plain = _create(tmp_path, _config(do_whole_word_mask=True))
  assert made.records
  assert plain != _create(tmp_path)[1]


@pytest.mark.parametrize('content, message', [
    pytest.param('', 'no text, expected one sentence', id='empty'),
    pytest.param('\n \n\x07\n', 'no text', id='nothing_left'),
    pytest.param('good line.\n' * 9 + '\0', 'zero byte', id='binary'),
])
def test_bad_text_leaves_no_file(tmp_path, content, message):
  old = tmp_path / 'out.tfrecord'
  old.write_bytes(b'old')
  with pytest.raises(errors.InputError, match=message):
    data_creation.create(
        [_text(tmp_path, content)], [old, tmp_path / 'new.tfrecord'],
        _config())
  assert sorted(path.name for path in tmp_path.iterdir()) == [
      'out.tfrecord', 'text.txt']
  assert old.read_bytes() == b'old'


def test_single_document_makes_pairs_of_its_own(tmp_path):
  made = data_creation.create(
      [_text(tmp_path, 'the cat sat.\nthe dog ran.\n')],
      [tmp_path / 'out.tfrecord'], _config())
  assert made.records >= 2  # one for each pass, at least


@pytest.mark.parametrize('options, message', [
    ({'max_seq_length': 4}, 'max_seq_length: got 4, expected .* from 5'),
    ({'masked_lm_prob': 0.0}, 'masked_lm_prob: got 0.0'),
    ({'short_seq_prob': 2.0}, 'short_seq_prob: got 2.0'),
    ({'dupe_factor': 0}, 'dupe_factor: got 0'),
])
def test_bad_option_is_refused(options, message):
  with pytest.raises(errors.InputError, match=message):
    _config(**options)


def test_no_processes_are_refused(tmp_path):
  with pytest.raises(errors.InputError, match='processes: got 0'):
    _create(tmp_path, processes=0)
