import json
import pathlib
import re
import resource

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import checkpoints
from mtf_unet import errors
from tests.mtf_unet import jobs


def test_latest_goes_by_the_step_and_not_by_the_name(tmp_path):
  for step in (9, 100, 20):
    jobs.write_checkpoint(tmp_path, step)
  assert checkpoints.latest(str(tmp_path)) == str(tmp_path / 'model.ckpt-100')
  assert checkpoints.step_of(str(tmp_path / 'model.ckpt-100')) == 100


def test_latest_needs_no_list_and_passes_over_half_a_checkpoint(tmp_path):
  for step in (1, 2):
    jobs.write_checkpoint(tmp_path, step)
  (tmp_path / 'model.ckpt-2.index').unlink()
  (tmp_path / 'checkpoint').write_bytes(b'\0garbage')
  assert checkpoints.latest(str(tmp_path)) == str(tmp_path / 'model.ckpt-1')
  checkpoints.write_list(str(tmp_path))
  assert tf.train.latest_checkpoint(tmp_path) == str(
      tmp_path / 'model.ckpt-1')


def test_an_empty_folder_has_no_checkpoint(tmp_path):
  assert checkpoints.latest(str(tmp_path)) is None
  assert checkpoints.latest(str(tmp_path / 'missing')) is None
  assert checkpoints.step_of(None) == 0
  with pytest.raises(errors.InputError, match='no checkpoint found'):
    checkpoints.for_prediction(str(tmp_path))


def test_a_damaged_checkpoint_is_named(tmp_path):
  path = pathlib.Path(jobs.write_checkpoint(tmp_path, 3) + '.index')
  path.write_bytes(b'garbage' * 10)
  with pytest.raises(errors.InputError, match='ckpt-3: damaged') as told:
    checkpoints.step_of(str(tmp_path / 'model.ckpt-3'))
  assert '\n' not in str(told.value)


def test_a_full_disk_leaves_the_older_checkpoint_and_no_half_file(tmp_path):
  jobs.write_checkpoint(tmp_path, 1)
  before = sorted(tmp_path.iterdir())
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (10000, hard))
  try:
    with pytest.raises(errors.InputError) as told:
      jobs.write_checkpoint(tmp_path, 2, {'head/kernel': np.ones((100, 100))})
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert ('model.ckpt-2: the checkpoint could not be written '
          f'({tmp_path}/model.ckpt-2') in str(told.value)
  assert 'File too large' in str(told.value)
  assert str(told.value).endswith(f'resumes from {tmp_path}/model.ckpt-1')
  assert sorted(tmp_path.iterdir()) == before


def _trained(folder, **changes):
  config = jobs.config(**changes)
  checkpoints.write_config(str(folder), config)
  jobs.write_checkpoint(folder, 1)


@pytest.mark.parametrize('changes, words', [
    ({'network': {'base_filters': 3}},
     'network.base_filters is 2 there and 3 here'),
    ({'data': {'channels': 2}}, 'data.channels is 1 there and 2 here'),
    ({'data': {'normalization': 'hounsfield'}},
     "data.normalization is 'zscore' there and 'hounsfield' here"),
    ({'data': {'normalization': 'window', 'window': (0.0, 9.0)}},
     "data.normalization is 'zscore' there and 'window' here"),
    ({'network': {'levels': 3, 'normalization': 'instance'}},
     "levels is 2 there and 3 here; network.normalization is 'batch' there"),
    ({'optimizer': {'name': 'adafactor'}}, "optimizer.name is 'adam' there"),
    ({'training': {'ema_decay': 0.0}}, 'training.ema_decay > 0 is True there'),
], ids=['filters', 'channels', 'normalization', 'window', 'two', 'optimizer',
        'averages'])
def test_another_experiment_is_refused_naming_what_differs(tmp_path, changes,
                                                           words):
  _trained(tmp_path)
  with pytest.raises(errors.InputError, match=words) as told:
    checkpoints.check_folder(str(tmp_path), jobs.config(**changes), True)
  assert '\n' not in str(told.value)


@pytest.mark.parametrize('changes, training', [
    ({'mesh': {'spatial_split': (4, 1, 1)}}, True),
    ({'network': {'dropout_keep': 1.0, 'activation_dtype': 'bfloat16',
                  'recompute': (0,)}}, True),
    ({'optimizer': {'learning_rate': 1.0}, 'training': {'steps': 99}}, True),
    ({'optimizer': {'name': 'adafactor'}}, False),
    ({'training': {'ema_decay': 0.0}}, False),
], ids=['mesh', 'dropout, type', 'rate, steps', 'optimizer to predict',
        'weights themselves to predict'])
def test_what_leaves_the_weights_alone_may_change(tmp_path, changes, training):
  _trained(tmp_path)
  checkpoints.check_folder(str(tmp_path), jobs.config(**changes), training)


def test_averages_that_were_not_kept_are_missed_in_prediction(tmp_path):
  _trained(tmp_path, training={'ema_decay': 0.0})
  with pytest.raises(errors.InputError, match='ema_decay > 0 is False there'):
    checkpoints.check_folder(str(tmp_path), jobs.config(), False)


def test_another_window_is_refused_and_the_same_one_is_not(tmp_path):
  _trained(tmp_path, data={'normalization': 'window', 'window': (0.0, 9.0)})
  checkpoints.check_folder(str(tmp_path), jobs.config(
      data={'normalization': 'window', 'window': (0.0, 9.0)}), False)
  with pytest.raises(errors.InputError, match=re.escape(
      'data.window is [0.0, 9.0] there and [0.0, 8.0] here')):
    checkpoints.check_folder(str(tmp_path), jobs.config(
        data={'normalization': 'window', 'window': (0.0, 8.0)}), False)


def test_an_experiment_in_a_bucket_is_compared_too():
  # TensorFlow's file system in memory stands for a bucket.
  folder = 'ram://checkpoints_test'
  checkpoints.write_config(folder, jobs.config())
  jobs.write_checkpoint(folder, 1)
  checkpoints.check_folder(folder, jobs.config(), True)
  with pytest.raises(errors.InputError, match='levels is 2 there and 1 here'):
    checkpoints.check_folder(folder, jobs.config(network={'levels': 1}), True)


@pytest.mark.parametrize('name', ['run[1]', 'run*'])
def test_a_name_that_is_a_pattern_is_refused(tmp_path, name):
  with pytest.raises(errors.InputError, match='takes for a pattern') as told:
    checkpoints.check_folder(str(tmp_path / name), jobs.config(), True)
  assert name in str(told.value)


def test_a_folder_without_a_checkpoint_fits_everything(tmp_path):
  checkpoints.write_config(str(tmp_path), jobs.config())
  checkpoints.check_folder(
      str(tmp_path), jobs.config(network={'levels': 1}), True)


@pytest.mark.parametrize('content', ['{', '[]', '{"config": {}}'])
def test_a_damaged_description_is_named(tmp_path, content):
  _trained(tmp_path)
  (tmp_path / 'config.json').write_text(content)
  with pytest.raises(errors.InputError, match='config.json: no readable'):
    checkpoints.check_folder(str(tmp_path), jobs.config(), True)


def test_the_experiment_is_written_whole(tmp_path):
  checkpoints.write_config(str(tmp_path), jobs.config())
  stored = json.loads((tmp_path / 'config.json').read_text())['config']
  assert stored['network']['base_filters'] == 2
  assert stored['data']['augmentation']['noise_fine'] == 0.1
