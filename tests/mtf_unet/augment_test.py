import numpy as np
import pytest

from mtf_unet import augment
from mtf_unet import config as config_lib

_SHAPE = (12, 16, 10)
_OFF = {'flip_axes': (), 'rotate_180': False}


@pytest.fixture(scope='module')
def pair():
  rng = np.random.default_rng(0)
  label = np.zeros(_SHAPE, np.uint8)
  label[3:8, 4:11, 2:7] = 2  # No 1: an interpolated border would be 1.
  image = rng.normal(size=_SHAPE + (2,)).astype(np.float32)
  return image, label


def _augment(pair, seed=(0, 0), planar=False, **changes):
  config = config_lib.AugmentationConfig(**(_OFF | changes))
  return augment.augment(
      *pair, config, num_classes=3, seed=seed, planar=planar)


def _rng(seed=0):
  return np.random.default_rng(seed)


_EACH = {
    'flips': {'flip_axes': (0, 1, 2)},
    'rotate_180': {'rotate_180': True},
    'intensity_shift': {'intensity_shift': 0.3},
    'noise_fine': {'noise_fine': 0.2},
    'noise_coarse': {'noise_coarse': 0.2},
    'corruption': {'corruption': 1.0},
    'projective': {'projective': 0.1},
    'rotation': {'rotation_degrees': 15.0},
    'scaling': {'scaling': 0.2},
    'translation': {'translation_voxels': 2.0},
    'contrast': {'contrast': 0.2},
    'brightness': {'brightness': 0.2},
    'gamma': {'gamma': 0.3},
    'elastic': {'elastic_voxels': 1.0},
}


@pytest.mark.parametrize('changes', _EACH.values(), ids=_EACH.keys())
def test_each_change_is_a_function_of_its_seed(pair, changes):
  several = [_augment(pair, (3, k), **changes) for k in range(8)]
  again = _augment(pair, (3, 5), **changes)
  for a, b in zip(several[5], again):
    np.testing.assert_array_equal(a, b)
    assert a.dtype == b.dtype
  assert any(not np.array_equal(several[0][0], other[0])
             for other in several[1:])


@pytest.mark.parametrize('changes', _EACH.values(), ids=_EACH.keys())
def test_each_change_keeps_shapes_types_and_labels(pair, changes):
  for k in range(4):
    image, label = _augment(pair, (0, k), **changes)
    assert image.shape == pair[0].shape and label.shape == pair[1].shape
    assert image.dtype == np.float32 and label.dtype == np.uint8
    assert np.isfinite(image).all()
    assert set(np.unique(label)) <= {0, 2}


def test_everything_off_is_the_identity(pair):
  for before, after in zip(pair, _augment(pair)):
    np.testing.assert_array_equal(before, after)


def test_the_input_is_never_written_to(pair):
  before = [array.copy() for array in pair]
  every = {key: value for change in _EACH.values()
           for key, value in change.items()}
  _augment(pair, **every)
  for old, array in zip(before, pair):
    np.testing.assert_array_equal(old, array)


def test_flips_occur_half_of_the_time_on_each_axis():
  config = config_lib.AugmentationConfig(rotate_180=False)
  rng = _rng()
  drawn = [augment.flipped_axes(config, rng) for _ in range(2000)]
  for axis in range(3):
    share = np.mean([axis in axes for axes in drawn])
    assert share == pytest.approx(0.5, abs=0.05)


def test_rotation_by_180_degrees_is_in_the_axial_plane(pair):
  config = config_lib.AugmentationConfig(flip_axes=())
  rng = _rng()
  drawn = {augment.flipped_axes(config, rng) for _ in range(50)}
  assert drawn == {(), (0, 1)}
  turned, _ = augment.flip(*pair, (0, 1))
  np.testing.assert_array_equal(turned, np.rot90(pair[0], 2, axes=(0, 1)))


def test_image_and_label_move_together():
  label = np.zeros((24, 24, 24), np.uint8)
  label[8:16, 6:18, 9:15] = 1
  image = label[..., None].astype(np.float32)
  moved, moved_label = _augment(
      (image, label), rotation_degrees=20.0, scaling=0.1, projective=0.1,
      translation_voxels=2.0, elastic_voxels=1.0, flip_axes=(0, 1, 2))
  far = np.abs(moved[..., 0] - 0.5) > 0.45
  assert far.mean() > 0.8
  np.testing.assert_array_equal(moved[..., 0][far] > 0.5, moved_label[far] == 1)


def test_sampling_at_shifted_places_is_a_shift(pair):
  image, label = pair
  places = np.stack(np.meshgrid(
      *map(np.arange, _SHAPE), indexing='ij')).astype(np.float32)
  places[1] += 3
  moved, moved_label = augment.sample(image, label, places)
  np.testing.assert_array_equal(moved[:, :-3], image[:, 3:])
  np.testing.assert_array_equal(moved_label[:, :-3], label[:, 3:])
  assert not moved[:, -3:].any()


def test_sampling_between_voxels_is_linear_for_images_alone(pair):
  image, label = pair
  places = np.stack(np.meshgrid(
      *map(np.arange, _SHAPE), indexing='ij')).astype(np.float32)
  places[2] += 0.25
  moved, moved_label = augment.sample(image, label, places)
  expected = 0.75 * image[:, :, :-1] + 0.25 * image[:, :, 1:]
  np.testing.assert_allclose(moved[:, :, :-1], expected, atol=1e-5)
  np.testing.assert_array_equal(moved_label[:, :, :-1], label[:, :, :-1])


def _map(planar=False, seed=0, **changes):
  config = config_lib.AugmentationConfig(**(_OFF | changes))
  places = augment.coordinate_map(_SHAPE, config, _rng(seed), planar)
  centre = (np.array(_SHAPE) - 1) / 2
  start = np.stack(np.meshgrid(*map(np.arange, _SHAPE), indexing='ij'))
  return (start.reshape(3, -1).T - centre, places.reshape(3, -1).T - centre)


def test_no_spatial_change_makes_no_map():
  config = config_lib.AugmentationConfig(noise_fine=0.1)
  assert augment.coordinate_map(_SHAPE, config, _rng()) is None


def test_rotation_keeps_distances_from_the_centre():
  start, end = _map(rotation_degrees=30.0)
  np.testing.assert_allclose(np.linalg.norm(end, axis=1),
                             np.linalg.norm(start, axis=1), atol=1e-4)
  assert np.abs(end - start).max() > 0.5


def test_scaling_is_one_factor_within_its_bounds():
  for seed in range(5):
    start, end = _map(scaling=0.2, seed=seed)
    factors = np.linalg.norm(end, axis=1) / np.linalg.norm(start, axis=1)
    np.testing.assert_allclose(factors, factors[0], rtol=1e-4)
    assert np.exp(-0.2) <= factors[0] <= np.exp(0.2)


def test_translation_moves_all_voxels_alike():
  start, end = _map(translation_voxels=3.0)
  moves = end - start
  np.testing.assert_allclose(moves, np.broadcast_to(moves[0], moves.shape),
                             atol=1e-5)
  assert np.abs(moves[0]).max() <= 3


def test_projective_moves_corners_within_bounds_and_no_slice():
  for seed in range(5):
    start, end = _map(projective=0.1, seed=seed)
    bounds = 0.1 * np.array(_SHAPE[:2]) + 1e-3
    assert (np.abs(end - start)[:, :2].max(axis=0) <= bounds).all()
    np.testing.assert_allclose(end[:, 2], start[:, 2], atol=1e-5)
    assert np.abs(end - start).max() > 0.1


def test_projective_keeps_lines_straight():
  _, end = _map(projective=0.2)
  line = end.reshape(_SHAPE + (3,))[:, 5, 0, :2]
  steps = np.diff(line, axis=0)
  cross = steps[:-1, 0] * steps[1:, 1] - steps[:-1, 1] * steps[1:, 0]
  np.testing.assert_allclose(cross, 0, atol=1e-4)


def test_planar_changes_leave_slices_apart():
  start, end = _map(
      planar=True, rotation_degrees=20.0, scaling=0.2, projective=0.1,
      translation_voxels=3.0, elastic_voxels=1.0)
  np.testing.assert_allclose(end[:, 2], start[:, 2], atol=1e-5)
  assert np.abs(end - start).max() > 0.5


def test_elastic_field_has_its_deviation_and_is_smooth():
  fields = np.stack([augment.elastic_field((32, 40, 24), 3, 2.0, _rng(seed))
                     for seed in range(10)])
  assert fields.std() == pytest.approx(2.0, rel=0.1)
  assert np.abs(np.diff(fields, axis=2)).max() < 2.0


def test_intensity_shift_is_one_number_for_each_class(pair):
  image, label = pair
  shift = augment.shift_classes(image, label, 0.5, _rng()) - image
  inside, outside = shift[label == 2], shift[label == 0]
  for part in (inside, outside):
    np.testing.assert_allclose(part, part.flat[0], atol=1e-6)
    assert abs(part.flat[0]) <= 0.5
  assert abs(inside.flat[0] - outside.flat[0]) > 1e-3


@pytest.mark.parametrize('key, block', [('noise_fine', 1), ('noise_coarse', 4)])
def test_noise_has_its_scale_and_any_deviation_up_to_the_largest(key, block):
  config = config_lib.AugmentationConfig(**{key: 0.3})
  deviations = []
  for seed in range(40):
    noise = augment.add_noise(
        np.zeros((32, 32, 30, 1), np.float32), config, _rng(seed))
    deviations.append(noise.std())
    blocks = noise[::block, ::block, ::block]
    np.testing.assert_array_equal(
        noise, blocks.repeat(block, 0).repeat(block, 1).repeat(
            block, 2)[:, :, :30])
  assert min(deviations) < 0.05
  assert 0.25 < max(deviations) < 0.32


def test_bias_field_is_smooth_and_within_its_bound():
  image = np.ones((16, 12, 8, 1), np.float32)
  image[0, 0, 0] = 0.0
  for seed in range(5):
    field = augment.apply_bias_field(image, 0.2, _rng(seed))[1:]
    assert np.exp(-0.2) - 1e-4 <= field.min() < field.max()
    assert field.max() <= np.exp(0.2) + 1e-4
    assert max(np.abs(np.diff(field, axis=axis)).max()
               for axis in range(3)) < 0.15
  np.testing.assert_array_equal(
      augment.apply_bias_field(image, 0.0, _rng()), image)


def test_intensities_change_with_the_given_probability(pair):
  image, label = pair
  config = config_lib.AugmentationConfig(
      flip_axes=(), rotate_180=False, noise_fine=0.3,
      intensity_probability=0.3)
  changed = [not np.array_equal(augment.augment(
      image, label, config, num_classes=3, seed=(0, number))[0], image)
             for number in range(200)]
  assert 0.2 < np.mean(changed) < 0.4


def test_corruption_is_a_box_that_spares_the_lesion(pair):
  image, label = pair
  for seed in range(5):
    corrupted = augment.corrupt(image, label == 2, _rng(seed))
    changed = (corrupted != image).any(axis=-1)
    assert changed.any()
    assert not changed[label == 2].any()
    places = np.argwhere(changed)
    edges = places.max(axis=0) - places.min(axis=0) + 1
    assert (edges <= np.array(_SHAPE) / 2).all()


def test_contrast_keeps_the_mean_and_gamma_the_extremes(pair):
  image, _ = pair
  contrast = augment.change_curve(
      image, config_lib.AugmentationConfig(contrast=0.3), _rng())
  assert contrast.mean() == pytest.approx(image.mean(), abs=1e-5)
  gamma = augment.change_curve(
      image, config_lib.AugmentationConfig(gamma=0.3), _rng())
  np.testing.assert_allclose([gamma.min(), gamma.max()],
                             [image.min(), image.max()], rtol=1e-5)
