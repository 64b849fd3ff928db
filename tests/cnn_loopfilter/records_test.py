import json

import numpy as np
import pytest
import tensorflow as tf

from cnn_loopfilter import data_config
from cnn_loopfilter import errors
from cnn_loopfilter import frames
from cnn_loopfilter import prepare
from cnn_loopfilter import records
from cnn_loopfilter.codec import base

_SIZE = 8


class _Halving:
  """A codec that drops the last bit, and QP above 30 the last two."""
  label = description = 'halving'
  filters = ('none',)

  def encode(self, sources, qp, filters):
    assert filters == 'none'
    shift = 1 if qp <= 30 else 2
    for frame in sources:
      yield base.Coded(frames.Frame(
          tuple(p >> shift << shift for p in frame.planes), frame.format),
                       bits=1000 - qp)


def _sequence(seed, depth=8, count=1):
  layout = frames.Format(40, 24, depth)
  random = np.random.default_rng(seed)
  made = [frames.Frame(tuple(
      random.integers(0, 2 ** depth, shape).astype(frames.sample_dtype(depth))
      for shape in layout.plane_shapes), layout) for _ in range(count)]
  return frames.Sequence(f's{seed}', layout, count, lambda: iter(made))


def _config(**changes):
  return data_config.DataConfig(**{
      'qps': (22, 37), 'patch_size': _SIZE, 'stride': 8, 'chroma_stride': 4,
      'patches_per_shard': 25} | changes)


def _prepare(folder, depth=8, **changes):
  return prepare.prepare(
      [_sequence(0, depth), _sequence(1, depth, count=2)], _Halving(), folder,
      _config(depth=depth, **changes))


def _batches(dataset):
  return [{key: value.numpy() for key, value in batch.items()}
          for batch in dataset]


def _patches(batches):
  return [(patch.tobytes(), int(qp)) for batch in batches
          for patch, qp in zip(batch['original'], batch['qp'])]


@pytest.mark.parametrize('depth', [8, 10])
def test_every_patch_is_the_picture_s_own(tmp_path, depth):
  index = _prepare(tmp_path / 'a', depth)
  # 15 luma patches, twice 10 - chroma is 20x12 - at 2 QPs of 3 frames.
  assert index['patches'] == {'Y': 90, 'U': 48, 'V': 48}
  batch = _batches(records.evaluation_dataset(tmp_path / 'a', 1000))[0]
  luma = [p.tobytes() for s in (_sequence(0, depth), _sequence(1, depth, 2))
          for f in s.open() for qp in (22, 37)
          for y in (0, 8, 16) for x in range(0, 40, 8)
          for p in [f.planes[0][y:y + 8, x:x + 8].astype(np.float32)
                    / np.float32(2 ** depth)]]
  found = [p.tobytes() for p in batch['original'][batch['component'] == 0]]
  assert sorted(found) == sorted(luma) and found != luma
  samples = (batch['original'] * 2 ** depth).astype(int)
  shift = np.where(batch['qp'] <= 30, 1, 2)[:, None, None, None]
  np.testing.assert_array_equal(
      batch['reconstruction'] * 2 ** depth, samples >> shift << shift)


def test_two_runs_write_the_same_bytes_and_another_seed_another_order(tmp_path):
  for name, seed in (('a', 0), ('b', 0), ('c', 1)):
    _prepare(tmp_path / name, shuffle_seed=seed)
  contents = [{p.name: p.read_bytes() for p in (tmp_path / name).iterdir()}
              for name in 'abc']
  assert contents[0] == contents[1] != contents[2]
  orders = [_patches(_batches(records.evaluation_dataset(tmp_path / name, 7)))
            for name in 'ac']
  assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])


def test_the_index_lets_psnr_be_computed_again(tmp_path):
  _prepare(tmp_path / 'a')
  index = json.loads((tmp_path / 'a' / 'index.json').read_text())
  assert [p['name'] for p in index['pictures']] == ['s0', 's1[0]', 's1[1]']
  plane = next(_sequence(0).open()).planes[0].astype(float)
  told = index['pictures'][0]['qps']['37']
  error = np.mean((plane % 4) ** 2)
  assert told['bits'] == 963
  assert told['psnr'][0] == pytest.approx(10 * np.log10(255 ** 2 / error))


@pytest.mark.parametrize('augment', [False, True])
def test_training_goes_on_from_any_step(tmp_path, augment):
  _prepare(tmp_path / 'a')
  stream = {'batch_size': 7, 'seed': 3, 'augment': augment}
  whole = _batches(records.training_dataset(tmp_path / 'a', steps=30, **stream))
  for start in (1, 28):
    rest = _batches(records.training_dataset(
        tmp_path / 'a', start_step=start, steps=30 - start, **stream))
    assert _patches(rest) == _patches(whole[start:])
  other = records.training_dataset(tmp_path / 'a', batch_size=7, seed=4,
                                   steps=30, augment=augment)
  assert _patches(_batches(other)) != _patches(whole)


def test_an_epoch_has_every_patch_once_and_epochs_differ(tmp_path):
  index = _prepare(tmp_path / 'a', patches_per_shard=31)
  assert {shard['patches'] for shard in index['shards']} == {31}
  steps = 186 // 6
  seen = _patches(_batches(records.training_dataset(
      tmp_path / 'a', batch_size=6, seed=0, steps=2 * steps)))
  everything = _patches(_batches(records.evaluation_dataset(tmp_path / 'a', 9)))
  assert sorted(seen[:186]) == sorted(seen[186:]) == sorted(everything)
  assert seen[:186] != seen[186:]


def test_augmentation_turns_both_pictures_alike(tmp_path):
  _prepare(tmp_path / 'a')
  streams = [_batches(records.training_dataset(
      tmp_path / 'a', batch_size=64, seed=0, steps=1, augment=augment))[0]
             for augment in (False, True)]
  turns = set()
  for before, after, coded, turned in zip(
      streams[0]['original'], streams[1]['original'],
      streams[0]['reconstruction'], streams[1]['reconstruction']):
    ways = [(k, mirror) for k in range(4) for mirror in (False, True)
            if np.array_equal(_turn(before, k, mirror), after)]
    assert len(ways) == 1
    turns.add(ways[0])
    np.testing.assert_array_equal(_turn(coded, *ways[0]), turned)
  assert len(turns) == 8


def _turn(patch, quarters, mirror):
  turned = np.rot90(patch, quarters)
  return turned[:, ::-1] if mirror else turned


def test_nothing_half_written_is_left(tmp_path):
  class Failing(_Halving):
    def encode(self, sources, qp, filters):
      raise errors.InputError('the encoder fails')
      yield

  with pytest.raises(errors.InputError, match='the encoder fails'):
    prepare.prepare([_sequence(0)], Failing(), tmp_path / 'a', _config())
  assert not list(tmp_path.iterdir())


def test_mistakes_are_told(tmp_path):
  with pytest.raises(errors.InputError, match=r'data.qps: got \(22, 64\)'):
    _config(qps=(22, 64))
  with pytest.raises(errors.InputError, match='got 10 bits, expected 8'):
    prepare.prepare([_sequence(0, 10)], _Halving(), tmp_path / 'a', _config())
  with pytest.raises(errors.InputError, match='no patch came out'):
    _prepare(tmp_path / 'a', patch_size=41)
  _prepare(tmp_path / 'a')
  with pytest.raises(errors.InputError, match='exists and is not empty'):
    _prepare(tmp_path / 'a')
  with pytest.raises(errors.InputError, match='no index.json in there'):
    records.read_index(tmp_path)
  next((tmp_path / 'a').glob('*.tfrecord')).unlink()
  with pytest.raises(errors.InputError, match='tfrecord: no such file'):
    records.evaluation_dataset(tmp_path / 'a', 1)


def test_a_changed_file_is_found_before_the_training(tmp_path):
  index = _prepare(tmp_path / 'a')
  assert records.check_shards(tmp_path / 'a') == index
  path = tmp_path / 'a' / index['shards'][1]['name']
  content = bytearray(path.read_bytes())
  content[40] ^= 1
  path.write_bytes(content)
  with pytest.raises(errors.InputError, match=f'{path.name}: its checksum'):
    records.check_shards(tmp_path / 'a')


def test_patches_of_another_depth_are_refused(tmp_path):
  _prepare(tmp_path / 'a', depth=10)
  assert records.check_shards(tmp_path / 'a', depth=10)['depth'] == 10
  with pytest.raises(errors.InputError, match='of 10 bits, expected 8'):
    records.check_shards(tmp_path / 'a', depth=8)


@pytest.mark.parametrize('content, message', [
    ('{', 'index.json: not JSON'), ('[]', 'expected "version": 1'),
    ('{"version": 2}', 'expected "version": 1'),
    ('{"version": 1}', 'and patch_size, depth, shards')])
def test_a_strange_index_is_refused(tmp_path, content, message):
  (tmp_path / 'index.json').write_text(content)
  with pytest.raises(errors.InputError, match=message):
    records.check_shards(tmp_path)


@pytest.mark.filterwarnings('error::UserWarning')
def test_the_stream_works_in_a_graph(tmp_path):
  _prepare(tmp_path / 'a')
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    batch = tf.compat.v1.data.make_one_shot_iterator(
        records.training_dataset(tmp_path / 'a', batch_size=4, seed=0)
    ).get_next()
    assert session.run(batch)['reconstruction'].shape == (4, 8, 8, 1)
