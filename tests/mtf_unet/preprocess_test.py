import dataclasses

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
from scipy import ndimage

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import preprocess
from mtf_unet import volumes
from tests.mtf_unet import grids
from tests.mtf_unet import scans

_CONFIG = config_lib.DataConfig(size=(16, 16, 16))


def _volume(array=None, **orientation):
  return volumes.Volume(scans.pair(0)[0] if array is None else array,
                        scans.affine(**orientation), 'some.nii')


_AXES = strategies.permutations(range(3)).map(tuple)
_SIGNS = strategies.tuples(*[strategies.sampled_from((1, -1))] * 3)


@hypothesis.given(_AXES, _SIGNS)
@hypothesis.settings(max_examples=20, deadline=None)
def test_labels_come_back_to_the_file_s_own_grid(axes, signs):
  image, label = scans.pair(1)
  _, geometry = grids.network_image(
      _volume(image, axes=axes, signs=signs), _CONFIG)
  network = grids.network_label(label, geometry)
  assert network.shape == (16, 16, 16)
  np.testing.assert_array_equal(
      preprocess.to_native_grid(network, geometry), label)


def test_probabilities_come_back_to_the_file_s_own_grid():
  image, label = scans.pair(1)
  orientation = {'axes': (2, 0, 1), 'signs': (1, -1, -1)}
  _, geometry = grids.network_image(
      _volume(image, **orientation), _CONFIG)
  one_hot = np.eye(3)[grids.network_label(label, geometry)]
  native = preprocess.probabilities_to_native_grid(one_hot, geometry)
  assert native.shape == label.shape + (3,)
  np.testing.assert_array_equal(native.argmax(axis=-1), label)


def test_every_orientation_shows_the_network_the_same():
  image, _ = scans.pair(0)
  straight, _ = grids.network_image(_volume(image), _CONFIG)
  turned = volumes.Volume(
      image.transpose(2, 0, 1)[::-1], scans.affine(
          axes=(2, 0, 1), signs=(-1, 1, 1), spacing_mm=(3.0, 1.5, 2.0)), '')
  also, _ = grids.network_image(turned, _CONFIG)
  np.testing.assert_array_equal(straight, also)


def test_padding_is_the_mean_and_centred():
  image, _ = scans.pair(0, shape=(9, 12, 8))
  padded, geometry = grids.network_image(_volume(image), _CONFIG)
  assert geometry.padding == ((3, 4), (2, 2), (4, 4))
  inside = padded[3:12, 2:14, 4:12]
  assert inside.mean() == pytest.approx(0, abs=1e-6)
  assert inside.std() == pytest.approx(1, abs=1e-5)
  assert np.count_nonzero(padded) == np.count_nonzero(inside)


def test_spacing_gives_the_shape_in_mm():
  config = dataclasses.replace(_CONFIG, spacing_mm=(3.0, 2.0, 1.5))
  grid, geometry = preprocess.to_grid(_volume(), config)
  assert grid.shape == (5, 12, 16, 1)
  assert geometry.native_spacing_mm == pytest.approx(scans.SPACING_MM)


def test_enlarging_equals_scipy_s_zoom_on_the_same_faces():
  config = dataclasses.replace(_CONFIG, spacing_mm=(0.75, 1.0, 1.5))
  image, _ = scans.pair(0)
  grid, _ = preprocess.to_grid(_volume(image), config)
  expected = ndimage.zoom(image, 2, order=1, mode='nearest', grid_mode=True)
  np.testing.assert_allclose(grid[..., 0], expected, atol=1e-3)


def test_shrinking_does_not_alias():
  stripes = np.tile(np.float32([0, 100]), (16, 16, 8))
  config = dataclasses.replace(_CONFIG, fit='resize', size=(4, 4, 4))
  grid, _ = preprocess.to_grid(_volume(stripes), config)
  np.testing.assert_allclose(grid, 50, atol=8)


def test_resize_stretches_to_the_size_and_labels_stay_labels():
  config = dataclasses.replace(_CONFIG, fit='resize', size=(16, 16, 24))
  image, label = scans.pair(0)
  label[label == 1] = 0  # 0 and 2 alone: an interpolated border would be 1.
  network, geometry = grids.network_image(_volume(image), config)
  resized = grids.network_label(label, geometry)
  assert network.shape[:3] == resized.shape == (16, 16, 24)
  assert set(np.unique(resized)) == {0, 2}


def test_hounsfield_is_the_reference_s_window():
  values = np.float32([-2000, -512, 0, 256, 512, 3000]).reshape(6, 1, 1, 1)
  np.testing.assert_allclose(
      preprocess.normalize(values, 'hounsfield').ravel(),
      [0, 0, 0.5, 0.75, 1, 1])


def test_zscore_is_per_channel_and_ignores_the_scale():
  image, _ = scans.pair(0)
  both = np.stack([image, 1e5 * image + 7e6], axis=-1)
  normal = preprocess.normalize(both, 'zscore')
  np.testing.assert_allclose(normal[..., 0], normal[..., 1], atol=1e-2)
  np.testing.assert_allclose(normal.std(axis=(0, 1, 2)), 1, rtol=1e-4)


def test_zscore_of_a_constant_volume_is_zero():
  constant = np.full((3, 3, 3, 1), 7.3e5, np.float32)
  assert not preprocess.normalize(constant, 'zscore').any()


@pytest.mark.parametrize('shape, minimum, multiple, expected', [
    ((30, 40, 50), (48, 64, 48), (16, 16, 8), (48, 64, 56)),
    ((48, 65, 1), (48, 64, 48), (16, 16, 8), (48, 80, 48)),
    ((1, 1, 1), (50, 50, 50), (16, 1, 8), (64, 50, 56)),
], ids=str)
def test_network_size_is_the_smallest_that_splits(
    shape, minimum, multiple, expected):
  assert preprocess.network_size(shape, minimum, multiple) == expected


def test_too_large_a_volume_is_told_a_size_that_fits():
  image, _ = scans.pair(0, shape=(10, 20, 8))
  with pytest.raises(errors.InputError) as caught:
    grids.network_image(_volume(image), _CONFIG)
  assert str(caught.value) == (
      'some.nii: 10x20x8 voxels do not fit the size 16x16x16; '
      'data.size=(16, 24, 16) holds them')


def test_prediction_may_take_a_larger_size():
  image, label = scans.pair(0, shape=(10, 20, 8))
  network, geometry = grids.network_image(
      _volume(image), _CONFIG, size=(16, 24, 16))
  assert network.shape == (16, 24, 16, 1)
  np.testing.assert_array_equal(grids.native_label(
      grids.network_label(label, geometry), geometry), label)


def test_another_number_of_channels_is_refused():
  with pytest.raises(errors.InputError, match='2 channels.*data.channels=1'):
    preprocess.to_grid(_volume(np.zeros((4, 4, 4, 2), np.float32)), _CONFIG)


def test_geometry_survives_a_record():
  _, geometry = grids.network_image(
      _volume(axes=(1, 2, 0), signs=(1, -1, 1)), _CONFIG)
  assert preprocess.Geometry.from_numbers(geometry.to_numbers()) == geometry


def test_window_takes_its_two_values_to_zero_and_one():
  image = np.array([-10.0, 0.0, 150.0, 300.0, 900.0], np.float32).reshape(
      5, 1, 1, 1)
  result = preprocess.normalize(image, 'window', (0.0, 300.0))
  np.testing.assert_allclose(result.ravel(), [0, 0, 0.5, 1, 1])
