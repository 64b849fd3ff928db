import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from lamb import errors
from lamb.images import job as job_lib
from lamb.images import recipes
from tests.lamb.images import pictures

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  path = tmp_path_factory.mktemp('data')
  pictures.write(path)
  return {split: pictures.open_split(path, split)
          for split in ('train', 'test')}


def _job(folder, config, **options):
  return job_lib.Job(config, str(folder), lambda line: None, **options)


def _weights(folder):
  reader = tf.train.load_checkpoint(str(folder))
  return {name: reader.get_tensor(name)
          for name in reader.get_variable_to_shape_map()}


@pytest.fixture(scope='module')
def whole(source, tmp_path_factory):
  """Six steps in one go, evaluated at 4 and at the end."""
  folder = tmp_path_factory.mktemp('whole')
  job_lib.train(_job(folder, pictures.job_config(), run={'seed': 0}),
                source['train'], source['test'])
  return folder


class _Stop(Exception):
  pass


def test_a_stopped_training_ends_with_the_same_weights(whole, source,
                                                       tmp_path, monkeypatch):
  def killed(job, source, stop, original=job_lib._train_until):
    original(job, source, min(stop, 2))
    raise _Stop
  job = _job(tmp_path, pictures.job_config())
  with monkeypatch.context() as patch, pytest.raises(_Stop):
    patch.setattr(job_lib, '_train_until', killed)
    job_lib.train(job, source['train'])
  assert job_lib.latest_step(str(tmp_path)) == 2
  job_lib.train(job, source['train'])
  expected = _weights(whole)
  assert 'conv2d/kernel/adam_m' in expected
  for name, value in _weights(tmp_path).items():
    np.testing.assert_allclose(value, expected[name], atol=1e-6, err_msg=name)


def test_metrics_are_of_every_example_and_name_their_run(whole):
  assert [path.name for path in sorted(whole.glob('eval/*.json'))] == [
      'metrics-4.json', 'metrics-6.json']
  metrics = json.loads((whole / 'eval/metrics-6.json').read_text())
  assert (metrics['step'], metrics['examples']) == (6, pictures.TEST)
  assert metrics['run'] == {'seed': 0}
  correct = metrics['top_1_accuracy'] * pictures.TEST
  assert correct == pytest.approx(round(correct), abs=1e-4)
  assert list(whole.glob('eval/events*'))


def test_finished_training_only_evaluates_what_was_interrupted(whole, source):
  lines, metrics = [], whole / 'eval/metrics-6.json'
  job = dataclasses.replace(_job(whole, pictures.job_config()),
                            run={'seed': 0}, report=lines.append)
  job_lib.train(job, source['train'], source['test'])
  assert lines == [f'{whole}: already at step 6 of 6, nothing to train']
  before = metrics.read_text()
  metrics.unlink()
  job_lib.train(job, source['train'], source['test'])
  assert metrics.read_text() == before


def test_evaluation_needs_no_list_of_checkpoints(whole, source, tmp_path):
  folder = pathlib.Path(shutil.copytree(whole, tmp_path / 'copy'))
  (folder / 'checkpoint').unlink()
  (folder / 'eval/metrics-6.json').unlink()
  job_lib.evaluate(_job(folder, pictures.job_config(), run={'seed': 0}),
                   source['test'])
  assert (folder / 'eval/metrics-6.json').read_text() == (
      whole / 'eval/metrics-6.json').read_text()


@pytest.mark.parametrize('error, message', [
    (tf.errors.DataLossError(None, None, 'corrupted record at 8\nmore'),
     'dataset tiny: a record is damaged .corrupted record at 8.[.]$'),
    (tf.errors.InvalidArgumentError(None, None, 'Unknown image file format.'),
     'dataset tiny: a picture cannot be used'),
    (tf.errors.ResourceExhaustedError(None, None, 'OOM'), 'out of memory')])
def test_what_a_user_can_mend_is_told_in_one_line(tmp_path, error, message):
  job = _job(tmp_path, pictures.job_config())
  with pytest.raises(errors.InputError, match=message), (
      job_lib.mistakes_told(job)):
    raise error


def test_damaged_config_of_a_folder_is_told(tmp_path, source):
  (tmp_path / 'config.json').write_text('{')
  with pytest.raises(errors.InputError, match='config.json: no JSON'):
    job_lib.train(_job(tmp_path, pictures.job_config()), source['train'])


def test_another_experiment_in_the_folder_is_refused(whole, source):
  config = pictures.job_config(seed=1)
  with pytest.raises(errors.InputError, match='training.seed: got 1, but .* '
                     'was begun with 0'):
    job_lib.train(_job(whole, config), source['train'])


def test_evaluation_without_checkpoint_is_refused(source, tmp_path):
  with pytest.raises(errors.InputError, match='no checkpoint there'):
    job_lib.evaluate(_job(tmp_path, pictures.job_config()), source['test'])


def test_loss_that_becomes_nan_is_told(source, tmp_path):
  config = pictures.job_config()
  config = dataclasses.replace(config, optimizer=dataclasses.replace(
      config.optimizer, name='momentum', learning_rate=1e30, warmup_steps=0,
      clip_norm=0.0))
  with pytest.raises(errors.InputError, match='the loss became NaN'):
    job_lib.train(_job(tmp_path, config), source['train'])


def test_dry_run_counts_parameters_without_data():
  assert job_lib.dry_run(recipes.davidnet('lars')) == 6_573_120
