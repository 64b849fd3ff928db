import dataclasses
import glob
import json

import numpy as np
import pytest
import tensorflow as tf

from cnn_loopfilter import checkpoints
from cnn_loopfilter import errors
from cnn_loopfilter import training
from tests.cnn_loopfilter import patch_batches


def _train(folder, config, *, fails_at=None, held_out=None):
  lines = []
  job = training.Job(config, str(folder), report=lines.append)
  training.train(job, patch_batches.training(fails_at=fails_at), held_out)
  return lines


def _weights(folder, averaged=True):
  source = checkpoints.read_filter(folder, averaged=averaged)
  norms = [dataclasses.astuple(layer.norm)[:4] for layer in source.layers[:-1]]
  return [np.ravel(x) for layer in source.layers
          for x in (layer.kernel, layer.bias)] + [
              x for norm in norms for x in norm]


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp('whole')
  lines = _train(folder, patch_batches.config(),
                 held_out=patch_batches.held_out())
  return folder, lines


def test_killed_job_continues_the_same_curve(whole, tmp_path):
  with pytest.raises(tf.errors.OpError):
    _train(tmp_path, patch_batches.config(), fails_at=5)
  step = checkpoints.step_of(checkpoints.latest(tmp_path))
  assert 0 < step < 6
  lines = _train(tmp_path, patch_batches.config())
  assert f'Resuming from step {step} of 6' in lines[0]
  for averaged in (True, False):
    for a, b in zip(_weights(whole[0], averaged),
                    _weights(tmp_path, averaged)):
      np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_batch_norm_averages_move_and_weights_train(whole):
  source = checkpoints.read_filter(whole[0])
  assert source.widths == (6, 6, 1)
  for layer in source.layers[:-1]:
    assert np.abs(layer.norm.mean).max() > 0
    assert np.abs(layer.norm.variance - 1).max() > 0
  assert np.abs(source.layers[-1].kernel).max() > 0


def test_average_lies_behind_the_weights(whole):
  raw = checkpoints.read_filter(whole[0], averaged=False).layers[-1].kernel
  mean = checkpoints.read_filter(whole[0]).layers[-1].kernel
  assert 0 < np.abs(mean).sum() < np.abs(raw).sum()


def test_scores_and_scalars_are_written(whole):
  folder, lines = whole
  assert [line[:7] for line in lines] == ['Step 2:', 'Step 4:', 'Step 6:']
  with open(folder / 'eval' / 'scores-6.json') as stream:
    scores = json.load(stream)
  assert {key.split()[0] for key in scores} <= {'Y', 'U', 'V'}
  assert all(len(value) == 2 for value in scores.values())
  tags = set()
  for path in glob.glob(str(folder / '**/events*'), recursive=True):
    for event in tf.compat.v1.train.summary_iterator(path):
      tags |= {value.tag for value in event.summary.value}
  assert {'loss/error', 'loss/weights', 'loss/scales', 'loss/lda',
          'loss/total', 'psnr_gain_db/mean'} <= tags
  assert any(tag.startswith('before_after') for tag in tags)
  assert any(tag.startswith('psnr_gain_db/Y_qp') for tag in tags)


def test_finished_training_is_left_alone(whole):
  before = checkpoints.latest(whole[0])
  assert 'nothing to train' in _train(whole[0], patch_batches.config())[0]
  assert checkpoints.latest(whole[0]) == before


def test_another_network_is_refused(whole):
  other = patch_batches.config(network={'filters': (4, 6)})
  with pytest.raises(errors.InputError, match='network.filters'):
    _train(whole[0], other)


@pytest.mark.parametrize('as_file', [True, False], ids=['npz', 'folder'])
def test_warm_start_begins_at_the_weights_of_another(whole, tmp_path, as_file):
  path = whole[0]
  if as_file:
    path = tmp_path / 'start.npz'
    checkpoints.read_filter(whole[0]).save(path)
  lines = _train(tmp_path / 'new', patch_batches.config(
      training={'steps': 1, 'warm_start': str(path)},
      optimizer={'learning_rate': 1e-12}))
  assert lines == [f'Starting from {path}']
  a = checkpoints.read_filter(tmp_path / 'new')
  b = checkpoints.read_filter(whole[0])
  for one, two in zip(a.layers, b.layers):
    np.testing.assert_allclose(one.kernel, two.kernel, atol=1e-6)


def test_warm_start_of_other_widths_is_refused(whole, tmp_path):
  config = patch_batches.config(network={'filters': (4, 6)},
                                training={'warm_start': str(whole[0])})
  with pytest.raises(errors.InputError, match='warm_start'):
    _train(tmp_path, config)


def test_unknown_optimizer_is_refused(tmp_path):
  with pytest.raises(errors.InputError, match="'sgd', expected one of adam"):
    _train(tmp_path, patch_batches.config(optimizer={'name': 'sgd'}))


def test_folder_without_training_is_refused(tmp_path):
  with pytest.raises(errors.InputError, match='no training'):
    checkpoints.read_filter(tmp_path)


@pytest.mark.slow
def test_training_removes_a_visible_error(tmp_path):
  config = patch_batches.config(
      loss={'balance': 'class'}, optimizer={'learning_rate': 1e-2},
      network={'batch_norm_momentum': 0.9},
      training={'steps': 200, 'save_every_steps': 200,
                'evaluate_every_steps': 200})
  _train(tmp_path, config)
  job = training.Job(config, str(tmp_path))
  found = training.score(job, patch_batches.held_out())
  assert min(gain.db for gain in found.values()) > 3
