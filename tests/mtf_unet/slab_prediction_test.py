"""Slabs give what one pass over the whole volume gives."""

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import architecture
from mtf_unet import errors
from mtf_unet import inference
from mtf_unet import label_maps
from mtf_unet import layout
from mtf_unet import plain_network
from mtf_unet import slab_network
from mtf_unet import slab_prediction
from mtf_unet import slab_store
from mtf_unet import trained_weights
from tests.mtf_unet import jobs

_SIZE = (12, 4, 8)
# Sums in another order; layers amplify the last digits.
_CLOSE = 1e-5


def _config(norm='batch', slabs=0, **changes):
  groups = {
      'data': {'size': _SIZE}, 'training': {'ema_decay': 0.0},
      'mesh': {'spatial_split': (1, 1, 1)},
      'network': {'levels': 3, 'base_filters': 3, 'normalization': norm},
      'prediction': {'method': 'slabs', 'slabs': slabs}}
  for group, keys in changes.items():
    groups[group] = {**groups.get(group, {}), **keys}
  return jobs.config(**groups)


def _image(size, channels=1, seed=0):
  return np.random.default_rng(seed).normal(
      size=(*size, channels)).astype(np.float32)


def _write(folder, config, seed=0):
  """Writes random weights of every size that training knows."""
  rng = np.random.default_rng(seed)
  layers = architecture.layers(config.network, config.data.channels,
                               config.data.num_classes)
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    for variable in (variable for layer in layers for variable in
                     architecture.variables(layer, config.network)):
      fan_in = np.prod(variable.shape[:-1])
      value = rng.normal(0, 1.4 / np.sqrt(fan_in), variable.shape)
      if len(variable.shape) == 1:
        # Norms about 1 or 0; a variance stays positive.
        value = rng.uniform(-0.3, 0.3, variable.shape) + variable.name.endswith(
            ('gamma', 'variance'))
      averaged = config.training.ema_decay > 0 and variable.trainable
      tf.compat.v1.get_variable(
          'ema/' * averaged + variable.name, initializer=value.astype(
              np.float32))
    session.run(tf.compat.v1.global_variables_initializer())
    tf.compat.v1.train.Saver().save(session, f'{folder}/model.ckpt',
                                    global_step=1)


def _one_pass(config, folder, image):
  """Plain TensorFlow, no mesh and no slabs."""
  weights = trained_weights.read(f'{folder}/model.ckpt-1', config)
  logits = plain_network.logits(tf.constant(image[None]), config.network,
                                config.data.num_classes, weights)
  return tf.nn.softmax(logits)[0].numpy()


def _predictor(config, model_dir, size, **workspace):
  predictor = slab_prediction.SlabPredictor(
      config, size, slab_prediction.Workspace(**workspace))
  predictor.restore(f'{model_dir}/model.ckpt-1')
  return predictor


@pytest.fixture(scope='module', params=['batch', 'instance'], name='trained')
def _trained(request, tmp_path_factory):
  """(config, folder) of each norm."""
  config = _config(request.param)
  folder = tmp_path_factory.mktemp(request.param)
  _write(folder, config)
  return config, folder


def test_slabs_of_every_thickness_equal_one_pass(trained, monkeypatch):
  config, folder = trained
  image = _image(_SIZE)
  expected = _one_pass(config, folder, image)
  predictor = _predictor(config, folder, _SIZE)
  for thickness in range(1, _SIZE[0] + 1):
    monkeypatch.setattr(slab_prediction, 'thickness',
                        lambda *_, n=thickness: n)
    np.testing.assert_allclose(predictor.probabilities(image), expected,
                               atol=_CLOSE, err_msg=f'{thickness} slices')
  predictor.close()
  assert np.ptp(expected[..., 0]) > 0.1


def test_zeros_around_the_volume_would_not_do(trained):
  # What is tested above at first and last slabs: each layer pads its own
  # input. A volume that goes on as zeros becomes something else inside.
  config, folder = trained
  image = _image(_SIZE)
  wide = np.pad(image, [(12, 12), (0, 0), (0, 0), (0, 0)])
  difference = np.abs(_one_pass(config, folder, wide)[12:-12]
                      - _one_pass(config, folder, image))
  assert difference[0].max() > 1e-3
  assert difference[-1].max() > 1e-3


@pytest.mark.parametrize('size', [(4, 12, 8), (4, 8, 12)], ids=['y', 'z'])
def test_slabs_lie_along_the_longest_axis(trained, size):
  config, folder = trained
  image = _image(size)
  shares = []
  predictor = _predictor(config, folder, size, show=shares.append)
  came = predictor.probabilities(image)
  predictor.close()
  np.testing.assert_allclose(came, _one_pass(config, folder, image),
                             atol=_CLOSE)
  assert shares == sorted(shares)
  assert shares[-1] == 1


def test_labels_are_the_most_probable_classes(trained, monkeypatch):
  config, folder = trained
  image = _image(_SIZE)
  predictor = _predictor(config, folder, _SIZE)
  expected = label_maps.most_probable(predictor.probabilities(image))
  # No probabilities are made on the way.
  monkeypatch.setattr(predictor._kernels, 'classify', None)
  came = predictor.labels(image)
  predictor.close()
  assert came.dtype == np.uint8
  np.testing.assert_array_equal(came, expected)
  assert len(np.unique(expected)) > 1


_VARIANTS = {
    'one level': ('batch', {'network': {'levels': 1}}),
    'one convolution': ('instance', {'network': {
        'convolutions_per_level': 1, 'levels': 2}}),
    'channels, averages': ('batch', {
        'data': {'channels': 2}, 'training': {'ema_decay': 0.5}}),
    'deep supervision': ('instance', {'network': {'deep_supervision': 1}}),
}


@pytest.mark.parametrize('name', list(_VARIANTS))
def test_variants_of_the_network_equal_one_pass(name, tmp_path):
  norm, changes = _VARIANTS[name]
  config = _config(norm, 4, **changes)
  _write(tmp_path, config)
  image = _image(_SIZE, config.data.channels)
  predictor = _predictor(config, tmp_path, _SIZE)
  np.testing.assert_allclose(predictor.probabilities(image),
                             _one_pass(config, tmp_path, image), atol=_CLOSE)
  predictor.close()


def _of_volumes(config, *folders):
  return inference.ensemble_of(config, layout.partition(config.mesh),
                               list(map(str, folders)))


def test_a_volume_of_any_size_equals_one_pass_on_the_mesh(trained):
  config, folder = trained
  image = _image((7, 5, 13))
  whole = _config(config.network.normalization,
                  prediction={'method': 'whole'})
  came, expected = (_of_volumes(each, folder).probabilities(image)
                    for each in (config, whole))
  np.testing.assert_allclose(came, expected, atol=_CLOSE)


def test_flips_and_ensembles_are_means_of_passes(tmp_path):
  config = _config('batch', 3, prediction={'flip_axes': (0,)})
  folders = [tmp_path / name for name in 'ab']
  for seed, folder in enumerate(folders):
    _write(folder, config, seed)
  image = _image(_SIZE)
  passes = [
      np.flip(_one_pass(config, folder, np.flip(image, axes)), axes)
      for folder in folders for axes in ((), (0,))]
  expected = np.mean(passes, axis=0)
  came = _of_volumes(config, *folders)
  np.testing.assert_allclose(came.probabilities(image), expected, atol=_CLOSE)
  np.testing.assert_array_equal(came.labels(image), expected.argmax(-1))
  assert np.ptp(passes, axis=0).max() > 0.01


def test_bfloat16_activations_equal_one_pass_to_their_rounding(tmp_path):
  network = {'activation_dtype': 'bfloat16', 'levels': 2}
  config = _config('instance', 3, network=network)
  _write(tmp_path, config)
  image = _image(_SIZE)
  came, expected = (
      _of_volumes(each, tmp_path).probabilities(image) for each in (
          config, _config('instance', prediction={'method': 'whole'},
                          network=network)))
  np.testing.assert_allclose(came, expected, atol=0.02)


def _peaks(config, folder, lengths, monkeypatch):
  """Most bytes that wait in memory, for volumes of these lengths."""
  peaks = []

  class Counting(slab_store.Memory):
    held = 0

    def put(self, array):
      self.held += array.nbytes
      peaks[-1] = max(peaks[-1], self.held)
      return super().put(array)

    def take(self, ticket):
      self.held -= ticket.nbytes
      return super().take(ticket)
  monkeypatch.setattr(slab_store, 'Memory', Counting)
  for length in lengths:
    peaks.append(0)
    size = (length, 4, 4)
    predictor = _predictor(config, folder, size)
    predictor.labels(_image(size))
    predictor.close()
  return peaks


def test_memory_does_not_grow_with_the_volume_s_length(tmp_path, monkeypatch):
  config = _config(network={'levels': 2, 'base_filters': 2})
  _write(tmp_path, config)
  monkeypatch.setattr(slab_prediction, 'thickness', lambda *_: 2)
  short, long, longest = _peaks(config, tmp_path, (24, 48, 96), monkeypatch)
  assert short == long == longest > 0


def test_the_file_holds_an_activation_a_level(tmp_path, monkeypatch):
  config = _config('instance', 12)
  _write(tmp_path, config)
  files = []

  class Noted(slab_store.File):
    def __init__(self, *arguments):
      super().__init__(*arguments)
      files.append(self)
  monkeypatch.setattr(slab_store, 'File', Noted)
  predictor = _predictor(config, tmp_path, _SIZE, folder=str(tmp_path))
  predictor.labels(_image(_SIZE))
  predictor.close()
  (file,) = files
  bound = slab_network.waiting_bytes(
      architecture.layers(config.network, 1, 3), _SIZE, 4)
  assert 0.9 * bound < file.size <= bound


def test_a_training_may_ask_for_slabs_in_between(trained):
  config, folder = trained
  with tf.Graph().as_default() as graph:
    predictor = _predictor(config, folder, _SIZE)
    assert predictor.labels(_image(_SIZE)).shape == _SIZE
    predictor.close()
    assert not graph.get_operations()


@pytest.mark.parametrize('size, slabs, slices', [
    ((512, 512, 512), 0, 8), ((512, 256, 256), 0, 32), ((64, 8, 8), 0, 32768),
    ((512, 2048, 2048), 0, 8), ((512, 512, 512), 1, 512),
    ((512, 512, 512), 5, 103), ((12, 8, 8), 99, 1)], ids=str)
def test_thickness_of_slabs(size, slabs, slices):
  assert slab_prediction.thickness(size, slabs, 8) == slices


@pytest.mark.parametrize('changes, words', [
    ({'network': {'dimensions': 2}}, "'whole' where network.dimensions is 2"),
    ({'prediction': {'method': 'whole', 'slabs': 4}},
     "prediction.slabs: got 4, expected 0 unless prediction.method is 'slabs'"),
    ({'prediction': {'slabs': -1}}, 'prediction.slabs: got -1'),
], ids=['2-D', 'one pass', 'negative'])
def test_settings_that_make_no_sense_are_refused(changes, words):
  with pytest.raises(errors.InputError, match=words):
    _config(**changes)


@pytest.mark.slow
@pytest.mark.parametrize('norm', ['batch', 'instance'])
def test_a_larger_volume_at_the_real_depth_equals_one_pass(norm, tmp_path):
  config = _config(norm, 6, network={
      'levels': 4, 'base_filters': 8}, data={'size': (48, 48, 48)})
  _write(tmp_path, config)
  image = _image((48, 48, 48))
  predictor = _predictor(config, tmp_path, (48, 48, 48))
  came = predictor.probabilities(image)
  predictor.close()
  np.testing.assert_allclose(came, _one_pass(config, tmp_path, image),
                             atol=_CLOSE)
