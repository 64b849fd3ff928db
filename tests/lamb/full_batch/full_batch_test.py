import gzip
import json
import struct

import numpy as np
import pytest

from lamb import errors
from lamb.full_batch import idx_files

pytest.importorskip('tensorflow')

from lamb.full_batch import lenet  # noqa: E402
from lamb.full_batch import optimizers  # noqa: E402
from lamb.full_batch import results  # noqa: E402
from lamb.full_batch import training  # noqa: E402


def _digits(count=24, size=8):
  rng = np.random.default_rng(0)
  return idx_files.Digits(
      rng.integers(0, 256, (count, size, size)).astype(np.uint8),
      rng.integers(0, 10, count).astype(np.uint8))


def _lamb(steps):
  return optimizers.make('lamb', 0.05, 1, steps, power=1.0, weight_decay=0.01,
                         clip_norm=1.0)


def _train(folder, steps, slice_size=8, total=4, **options):
  folder.mkdir(exist_ok=True)
  model = lenet.LeNet(size=8)
  history = training.train(
      model, _lamb(total), _digits(), _digits(), training.FullBatchJob(
          steps=steps, slice_size=slice_size, evaluate_every=2, **options),
      str(folder), report=lambda line: None)
  return [w.numpy() for w in model.variables_in_order], history


def test_slices_do_not_change_the_result(tmp_path):
  whole, _ = _train(tmp_path / 'a', 2, slice_size=24)
  sliced, _ = _train(tmp_path / 'b', 2, slice_size=7)
  for a, b in zip(whole, sliced):
    np.testing.assert_allclose(a, b, atol=2e-5)


def test_interrupted_run_goes_on_to_the_same_result(tmp_path):
  once, history = _train(tmp_path / 'a', 4)
  _train(tmp_path / 'b', 2)
  resumed, resumed_history = _train(tmp_path / 'b', 4)
  for a, b in zip(once, resumed):
    np.testing.assert_array_equal(a, b)
  assert resumed_history['loss'] == history['loss']
  assert [step for step, _ in history['accuracy']] == [2, 4]


def test_batches_deal_out_each_epoch_anew():
  job = training.FullBatchJob(steps=9, slice_size=8, batch_size=7)
  digits = idx_files.Digits(np.zeros((24, 8, 8), np.uint8), np.arange(24))
  epochs = [[label for step in steps for label in
             job.batch(digits, step).labels] for steps in ((1, 2, 3),
                                                           (4, 5, 6))]
  assert all(len(set(epoch)) == 21 for epoch in epochs)
  assert epochs[0] != epochs[1]


def test_interrupted_run_of_batches_goes_on_to_the_same_result(tmp_path):
  options = {'batch_size': 7, 'save_every': 2}
  once, history = _train(tmp_path / 'a', 5, **options)
  _train(tmp_path / 'b', 2, **options)
  resumed, resumed_history = _train(tmp_path / 'b', 5, **options)
  for a, b in zip(once, resumed):
    np.testing.assert_array_equal(a, b)
  assert resumed_history['loss'] == history['loss']


def test_batch_larger_than_the_data_is_refused():
  job = training.FullBatchJob(steps=1, slice_size=8, batch_size=25)
  with pytest.raises(errors.InputError, match='at most the 24 training'):
    job.batch(_digits(), 1)


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_every_optimizer_is_made(name):
  optimizer = optimizers.make(name, 0.1, 2, 10, power=0.5, weight_decay=0.1,
                              clip_norm=1.0)
  assert float(optimizer.learning_rate) == pytest.approx(0.05)


def test_unknown_optimizer_is_refused():
  with pytest.raises(errors.InputError, match='expected one of lamb, lars'):
    optimizers.make('sgd', 0.1, 1, 2, power=1, weight_decay=0, clip_norm=0)


def test_table_has_the_best_first(tmp_path):
  for name, accuracy in (('lars', 0.5), ('lamb', 0.9)):
    (tmp_path / name).mkdir()
    results.write(
        tmp_path / name, name, {'learning_rate': 1.0, 'warmup_steps': 1,
                                'power': 0.5, 'published': 0.0},
        {'accuracy': [[3, accuracy]], 'seconds': [60.0]}, {'seed': 0})
  rows = results.table(tmp_path).splitlines()
  assert rows[2].startswith('| lamb | 1 | 1 | 0.5 | 3 | 0.9000 |')
  assert json.loads((tmp_path / 'lamb/result.json').read_text())['minutes'] == 1


def _idx(values):
  return (bytes([0, 0, 8, values.ndim])
          + struct.pack(f'>{values.ndim}I', *values.shape) + values.tobytes())


def test_idx_files_are_read_gzipped_or_not(tmp_path):
  digits = _digits(3)
  for part in ('train', 't10k'):
    (tmp_path / f'{part}-images-idx3-ubyte').write_bytes(_idx(digits.images))
    with gzip.open(tmp_path / f'{part}-labels-idx1-ubyte.gz', 'wb') as file:
      file.write(_idx(digits.labels))
  train, test = idx_files.load_mnist(str(tmp_path))
  np.testing.assert_array_equal(train.images, digits.images)
  np.testing.assert_array_equal(test.labels, digits.labels)


@pytest.mark.parametrize('content, message', [
    pytest.param(b'', 'starts with nothing', id='empty'),
    pytest.param(b'\x00\x00\x0d\x01', 'starts with 00000d01', id='floats'),
    pytest.param(_idx(np.zeros(5, np.uint8))[:-1],
                 'holds 4 values, its header says 5', id='cut_short'),
])
def test_bad_idx_file_is_named(tmp_path, content, message):
  path = tmp_path / 'labels'
  path.write_bytes(content)
  with pytest.raises(errors.InputError, match=f'{path}: {message}'):
    idx_files.read_idx(path)


def test_missing_idx_file_is_named(tmp_path):
  with pytest.raises(errors.InputError, match='no train-images-idx3-ubyte'):
    idx_files.load_mnist(str(tmp_path))
