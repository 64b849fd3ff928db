import numpy as np
import pytest

from mtf_unet import errors
from mtf_unet import inference
from mtf_unet import layout
from mtf_unet import volumes
from tests.mtf_unet import jobs
from tests.mtf_unet import scans

# Array axes along z, x and y of the patient, two of them reversed.
_AXES, _SIGNS = (2, 0, 1), (-1, 1, -1)


@pytest.fixture(scope='module')
def model_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('model')
  jobs.write_weights(folder, jobs.config(mesh={'spatial_split': (1, 1, 1)},
                               training={'ema_decay': 0.0}))
  return folder


def _predict(model_dir, volume, **changes):
  changes.setdefault('mesh', {'spatial_split': (1, 1, 1)})
  config = jobs.config(training={'ema_decay': 0.0}, **changes)
  return inference.from_model_dir(
      config, layout.partition(config.mesh), str(model_dir)).predict(volume)


def _volume(shape, axes=_AXES, signs=_SIGNS, spacing_mm=(1.0, 3.0, 2.0)):
  array = np.random.default_rng(0).random(shape, np.float32)
  return volumes.Volume(array, scans.affine(axes, signs, spacing_mm), 'scan')


@pytest.mark.parametrize('changes', [
    {}, {'data': {'spacing_mm': (2.0, 2.0, 2.0)}}, {'data': {'fit': 'resize'}},
    {'mesh': {'spatial_split': (4, 1, 1), 'devices': 2}},
    {'mesh': {'spatial_split': (2, 1, 1), 'batch_split': 2}},
], ids=['padded', 'resampled', 'stretched', 'more blocks than devices',
        'batch split'])
def test_a_scan_of_any_shape_comes_back_on_its_own_grid(model_dir, changes):
  probabilities = _predict(model_dir, _volume((7, 11, 9)), **changes)
  assert probabilities.shape == (7, 11, 9, 3)
  np.testing.assert_allclose(probabilities.sum(-1), 1.0, atol=1e-5)


def test_a_scan_larger_than_the_config_is_not_cut(model_dir):
  probabilities = _predict(model_dir, _volume((9, 21, 18), (0, 1, 2)))
  assert probabilities.shape == (9, 21, 18, 3)


def test_the_same_scan_turned_gives_the_same_answer_turned(model_dir):
  straight = _volume((7, 11, 8), (0, 1, 2), (1, 1, 1))
  turned = volumes.Volume(
      straight.array.transpose(2, 0, 1)[::-1],
      scans.affine((2, 0, 1), (-1, 1, 1)), 'turned')
  expected = _predict(model_dir, straight).transpose(2, 0, 1, 3)[::-1]
  np.testing.assert_allclose(_predict(model_dir, turned), expected, atol=1e-6)


@pytest.mark.parametrize('shape, size', [
    ((1, 1, 1), (16, 16, 8)), ((17, 16, 8), (24, 16, 8)),
    ((16, 33, 9), (16, 36, 10))], ids=str)
def test_fitting_size_is_the_smallest_that_can_be_split(shape, size):
  config = jobs.config(mesh={'spatial_split': (4, 2, 1)})
  assert inference.fitting_size(
      shape, config, layout.partition(config.mesh)) == size


def test_slices_of_a_2d_network_need_no_multiple():
  config = jobs.config(network={'dimensions': 2})
  assert inference.fitting_size((16, 16, 9), config, layout.partition(
      config.mesh)) == (16, 16, 9)


def test_graphs_are_kept_for_scans_of_one_size(model_dir, monkeypatch):
  built = []
  original = inference.Predictor
  monkeypatch.setattr(inference, 'Predictor', lambda *args, **keywords: (
      built.append(args[2]), original(*args, **keywords))[1])
  config = jobs.config(mesh={'spatial_split': (1, 1, 1)},
                       training={'ema_decay': 0.0})
  predictor = inference.from_model_dir(
      config, layout.partition(config.mesh), str(model_dir))
  for shape in ((7, 11, 8), (5, 9, 8), (18, 9, 8)):
    predictor.predict(_volume(shape, (0, 1, 2)))
  assert built == [(16, 16, 8), (18, 16, 8)]


# Quick to build, for what does not depend on the network.
_TINY = {'levels': 1, 'convolutions_per_level': 1}


def _tiny(**changes):
  return jobs.config(mesh={'spatial_split': (1, 1, 1)}, network=_TINY,
                     training={'ema_decay': 0.0}, **changes)


@pytest.fixture(scope='module')
def tiny_dirs(tmp_path_factory):
  folders = [tmp_path_factory.mktemp('tiny') for _ in range(2)]
  for seed, folder in enumerate(folders):
    jobs.write_weights(folder, _tiny(), seed)
  return folders


def _ensemble(model_dirs, **changes):
  config = _tiny(**changes)
  return inference.ensemble_of(config, layout.partition(config.mesh),
                               list(map(str, model_dirs)))


@pytest.fixture(scope='module')
def plain(tiny_dirs):
  """The first of the networks, one pass over the whole volume."""
  return _ensemble(tiny_dirs[:1]).probabilities


def _image(shape):
  return np.random.default_rng(1).random(shape + (1,), np.float32)


def test_windows_see_a_larger_volume_piece_by_piece(tiny_dirs, plain):
  # Windows that do not overlap are predicted as if alone.
  image = _image((32, 16, 8))
  came = _ensemble(tiny_dirs[:1], prediction={
      'method': 'sliding_window', 'overlap': 0.0}).probabilities(image)
  np.testing.assert_allclose(came, np.concatenate(
      [plain(half) for half in np.split(image, 2)]), atol=1e-6)


def test_flips_are_the_mean_of_flipped_predictions(tiny_dirs, plain):
  image = _image(jobs.SIZE)
  straight, flipped = plain(image), np.flip(plain(np.flip(image, 0)), 0)
  came = _ensemble(tiny_dirs[:1], prediction={
      'flip_axes': (0,)}).probabilities(image)
  np.testing.assert_allclose(came, (straight + flipped) / 2, atol=1e-6)
  assert np.abs(straight - flipped).max() > 1e-4


def test_an_ensemble_is_the_mean_of_its_members(tiny_dirs, plain):
  image = _image(jobs.SIZE)
  both = _ensemble(tiny_dirs)
  twice = [both.probabilities(image) for _ in range(2)]
  second = _ensemble(tiny_dirs[1:]).probabilities(image)
  for came in twice:
    np.testing.assert_allclose(came, (plain(image) + second) / 2, atol=1e-6)
  assert np.abs(plain(image) - second).max() > 1e-4


def test_an_ensemble_of_different_networks_is_refused(tiny_dirs, model_dir):
  with pytest.raises(errors.InputError, match='network.levels is 2') as told:
    _ensemble([*tiny_dirs, model_dir])
  assert str(model_dir) in str(told.value)


@pytest.mark.parametrize('changes, words', [
    ({'prediction': {'method': 'tiles'}},
     "'whole', 'slabs' or 'sliding_window'"),
    ({'prediction': {'overlap': 1.0}}, 'prediction.overlap: got 1.0'),
    ({'prediction': {'flip_axes': (0, 0)}}, 'prediction.flip_axes'),
    ({'prediction': {'largest_component': (3,)}}, 'classes from 1 to 2'),
    ({'evaluation': {'lesion_classes': (0,)}}, 'evaluation.lesion_classes'),
    ({'evaluation': {'lesion_overlap': -0.1}}, 'evaluation.lesion_overlap'),
    ({'prediction': {'method': 'sliding_window'},
      'network': {'dimensions': 2}}, "'whole' where network.dimensions is 2"),
], ids=['method', 'overlap', 'flips', 'component', 'lesion', 'share', '2-D'])
def test_settings_that_make_no_sense_are_refused(changes, words):
  with pytest.raises(errors.InputError, match=words):
    jobs.config(**changes)


@pytest.mark.parametrize('changes, words', [
    ({'network': {'base_filters': 3}}, 'base_filters is 2 there and 3 here'),
    ({'data': {'channels': 2}}, 'data.channels'),
], ids=['network', 'channels'])
def test_another_network_is_refused(model_dir, changes, words):
  with pytest.raises(errors.InputError, match=words):
    _predict(model_dir, _volume((7, 11, 9)), **changes)


def test_weights_that_do_not_fit_are_told_even_without_config(tmp_path):
  jobs.write_weights(tmp_path, jobs.config(mesh={'spatial_split': (1, 1, 1)},
                                 network={'levels': 1},
                                 training={'ema_decay': 0.0}))
  (tmp_path / 'config.json').unlink()
  with pytest.raises(errors.InputError,
                     match='another network .*not found') as told:
    _predict(tmp_path, _volume((7, 11, 8)))
  assert '\n' not in str(told.value)
