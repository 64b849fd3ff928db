"""The SavedModel gives what the network on the mesh gives."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import errors
from mtf_unet import export
from mtf_unet import inference
from mtf_unet import label_maps
from mtf_unet import layout
from mtf_unet import saved_model
from mtf_unet import volumes
from tests.mtf_unet import jobs
from tests.mtf_unet import scans
from tests.mtf_unet import user_environment

_SPACING_MM = (2.0, 2.0, 2.0)


def _config(**changes):
  return jobs.config(**{
      'mesh': {'spatial_split': (2, 1, 1)}, 'training': {'ema_decay': 0.0},
      'network': {'levels': 2, 'convolutions_per_level': 1}} | changes)


_CONFIGS = {
    'batch norm, averages, resampled, two channels': _config(
        data={'channels': 2, 'spacing_mm': _SPACING_MM},
        training={'ema_decay': 0.5}),
    'instance norm, window, flips': _config(
        data={'normalization': 'window', 'window': (0.0, 0.8)},
        network={'levels': 2, 'convolutions_per_level': 1,
                 'normalization': 'instance'},
        prediction={'flip_axes': (0, 2)}),
    'slices, Hounsfield units': _config(
        data={'normalization': 'hounsfield', 'neighbor_slices': 1,
              'channels': 2},
        network={'dimensions': 2, 'levels': 2, 'convolutions_per_level': 1}),
}


def _scan(shape, config):
  rng = np.random.default_rng(0)
  array = rng.random((*shape, config.data.channels)).astype(np.float32)
  return volumes.Volume(array, scans.affine(
      (2, 0, 1), (-1, 1, -1), (1.0, 3.0, 2.0)), 'scan')


@pytest.fixture(scope='module', name='exported', params=list(_CONFIGS))
def _exported(request, tmp_path_factory):
  """A config, its model folder and its SavedModel."""
  config = _CONFIGS[request.param]
  folder = tmp_path_factory.mktemp('export')
  jobs.write_weights(folder / 'model', config)
  assert export.export(config, [str(folder / 'model')],
                       folder / 'saved') == [f'{folder}/model/model.ckpt-1']
  return config, folder


def _on_the_mesh(config, *model_dirs):
  return inference.from_model_dir(
      config, layout.partition(config.mesh), *map(str, model_dirs))


@pytest.mark.parametrize('shape', [(7, 11, 9), (9, 24, 18)],
                         ids=['smaller than trained on', 'larger'])
def test_files_are_predicted_as_on_the_mesh(exported, shape):
  config, folder = exported
  scan = _scan(shape, config)
  came = saved_model.SavedModelPredictor(
      folder / 'saved', config.data).predict(scan)
  expected = _on_the_mesh(config, folder / 'model').predict(scan)
  assert came.dtype == np.float32
  np.testing.assert_allclose(came, expected, atol=2e-5)
  assert np.ptp(expected[..., 0]) > 0.01


def test_the_signature_takes_a_raw_volume_and_returns_labels(exported):
  config, folder = exported
  model = tf.saved_model.load(str(folder / 'saved'))
  volume = np.random.default_rng(1).random(
      (5, 17, 3, config.data.channels), np.float32)
  label = model.signatures['serving_default'](
      volume=tf.constant(volume))['label'].numpy()
  probabilities = model.signatures['probabilities'](
      volume=tf.constant(volume))['probabilities'].numpy()
  assert label.dtype == np.uint8
  assert label.shape == volume.shape[:3]
  np.testing.assert_allclose(probabilities.sum(-1), 1.0, atol=1e-5)
  np.testing.assert_array_equal(
      label, label_maps.most_probable(probabilities))


_PLAIN = _config(network={'levels': 1, 'convolutions_per_level': 1})


@pytest.fixture(scope='module', name='plain')
def _plain(tmp_path_factory):
  """Two networks and the SavedModel of both."""
  folder = tmp_path_factory.mktemp('plain')
  for seed, name in enumerate('ab'):
    jobs.write_weights(folder / name, _PLAIN, seed)
  export.export(_PLAIN, [str(folder / name) for name in 'ab'],
                folder / 'saved')
  return folder


def test_an_ensemble_becomes_one_saved_model(plain):
  scan = _scan((7, 11, 9), _PLAIN)
  came = saved_model.SavedModelPredictor(
      plain / 'saved', _PLAIN.data).predict(scan)
  expected = _on_the_mesh(_PLAIN, plain / 'a', plain / 'b').predict(scan)
  np.testing.assert_allclose(came, expected, atol=2e-5)


@pytest.mark.slow
def test_no_mesh_tensorflow_is_needed_to_predict(plain):
  program = '\n'.join([
      'import sys', 'sys.modules["mesh_tensorflow"] = None',
      'import numpy as np', 'from mtf_unet import saved_model',
      'from mtf_unet import config, volumes',
      f'data = config.DataConfig(size={jobs.SIZE})',
      'scan = volumes.Volume(np.zeros((5, 6, 7), np.float32), np.eye(4), "a")',
      'print(saved_model.SavedModelPredictor(sys.argv[1], data).predict('
      'scan).shape)'])
  result = subprocess.run(
      [sys.executable, '-c', program, str(plain / 'saved')],
      cwd=user_environment.ROOT, capture_output=True, text=True, check=False,
      env=user_environment.variables() | {'TF_CPP_MIN_LOG_LEVEL': '3'})
  assert result.returncode == 0, result.stderr
  assert result.stdout == '(5, 6, 7, 3)\n'


def test_the_experiment_lies_beside_the_saved_model(plain):
  stored = json.loads((plain / 'saved' / 'experiment.json').read_text())
  assert stored['data']['size'] == list(jobs.SIZE)
  assert not [name for name in os.listdir(plain) if name.startswith('.')]


def test_an_existing_folder_is_not_overwritten(plain):
  with pytest.raises(errors.InputError, match='saved: exists'):
    export.export(_PLAIN, [str(plain / 'a')], plain / 'saved')


def test_sliding_windows_are_not_exported(plain, tmp_path):
  config = _config(prediction={'method': 'sliding_window'})
  with pytest.raises(errors.InputError,
                     match="expected 'whole' or 'slabs' to export"):
    export.export(config, [str(plain / 'a')], tmp_path / 'saved')


def test_the_weights_of_another_network_are_refused(plain, tmp_path):
  (tmp_path / 'config.json').unlink(missing_ok=True)
  for path in (plain / 'a').glob('model.ckpt*'):
    (tmp_path / path.name).write_bytes(path.read_bytes())
  with pytest.raises(errors.InputError, match='another network'):
    export.export(_config(), [str(tmp_path)], tmp_path / 'saved')
  assert not (tmp_path / 'saved').exists()


@pytest.mark.parametrize('changes, words', [
    ({'channels': 2}, 'data.channels=1, expected 2'),
    ({'spacing_mm': _SPACING_MM}, 'data.spacing_mm=None, expected')],
    ids=['channels', 'spacing'])
def test_other_data_are_refused(plain, changes, words):
  config = _config(data=changes)
  with pytest.raises(errors.InputError, match=words):
    saved_model.SavedModelPredictor(plain / 'saved', config.data)


def test_another_size_is_refused_where_scans_are_stretched(tmp_path):
  config = _config(data={'fit': 'resize'})
  (tmp_path / 'experiment.json').write_text(
      json.dumps(dataclasses.asdict(config)))
  other = _config(data={'fit': 'resize', 'size': (32, 16, 8)})
  with pytest.raises(errors.InputError, match='made with data.size='):
    saved_model.SavedModelPredictor(tmp_path, other.data)


def test_a_folder_that_is_no_saved_model_is_named(plain, tmp_path):
  with pytest.raises(errors.InputError, match='experiment.json: expected'):
    saved_model.SavedModelPredictor(tmp_path, _PLAIN.data)
  (tmp_path / 'experiment.json').write_bytes(
      (plain / 'saved' / 'experiment.json').read_bytes())
  with pytest.raises(errors.InputError, match='no SavedModel of') as told:
    saved_model.SavedModelPredictor(tmp_path, _PLAIN.data)
  assert '\n' not in str(told.value)
