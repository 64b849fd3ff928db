"""Against the values that MONAI's and surface-distance's own tests publish."""

import numpy as np
import pytest

from mtf_unet import surface_distance

_SPACING_MM = (0.85, 1.2, 0.9)


def _ball(radius, centre, spacing_mm=(1.0, 1.0, 1.0), shape=(99, 99, 99)):
  """The balls of MONAI's tests: radius and centre in mm."""
  axes = [axis * s - c for axis, s, c in zip(
      np.ogrid[tuple(slice(n) for n in shape)], spacing_mm, centre)]
  return sum(axis**2 for axis in axes) <= radius**2


def _distances(first, second, spacing_mm=(1.0, 1.0, 1.0)):
  return surface_distance.surface_distances(
      _ball(*first, spacing_mm), _ball(*second, spacing_mm), spacing_mm)


@pytest.mark.parametrize('first, second, percentile, spacing_mm, expected', [
    ((20, (49, 49, 49)), (20, (49, 49, 49)), 100, None, 0.0),
    ((20, (20, 20, 20)), (20, (19, 19, 19)), 100, None, 1.7320508075688772),
    ((33, (19, 33, 22)), (33, (20, 33, 22)), 100, None, 1.0),
    ((20, (20, 33, 22)), (40, (20, 33, 22)), 100, None, 20.223748416156685),
    ((20, (20, 33, 22)), (40, (20, 33, 22)), 95, None, 20.09975124224178),
    ((20, (20, 20, 20)), (20, (19, 19, 19)), 100, _SPACING_MM, 2.2671568),
    ((15, (20, 33, 22)), (30, (20, 33, 22)), 100, _SPACING_MM, 15.62594),
], ids=['equal', 'moved aslant', 'moved', 'twice as large',
        'twice as large, 95', 'moved, mm', 'twice as large, mm'])
def test_hausdorff_distances_are_monai_s(first, second, percentile, spacing_mm,
                                         expected):
  came = _distances(first, second, spacing_mm or (1.0, 1.0, 1.0))
  assert came.hausdorff(percentile) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('first, second, expected', [
    ((33, (19, 33, 22)), (33, (20, 33, 22)), 0.35021200688332677),
    ((20, (20, 33, 22)), (40, (20, 33, 22)), 13.975673696300824),
], ids=['moved', 'twice as large'])
def test_average_distances_are_monai_s(first, second, expected):
  assert _distances(first, second).average == pytest.approx(expected, rel=1e-7)


def _voxels(shape, *where):
  mask = np.zeros(shape, bool)
  for place in where:
    mask[place] = True
  return mask


def test_two_voxels_2_mm_apart_as_in_surface_distance():
  shape = (128, 128, 128)
  came = surface_distance.surface_distances(
      _voxels(shape, (50, 60, 72)), _voxels(shape, (50, 60, 70)), (3, 2, 1))
  assert came.hausdorff(100) == came.hausdorff(95) == 2.0
  # 1.5 there: half of each voxel's surface lies nearer to the other.
  assert came.average == 2.0


def test_two_slabs_a_voxel_apart_as_in_surface_distance():
  masks = [_voxels((100, 100, 100), np.s_[:n]) for n in (51, 50)]
  came = surface_distance.surface_distances(*masks, (2, 1, 1))
  assert came.hausdorff(100) == came.hausdorff(95) == 2.0


def test_average_of_a_worked_example():
  # Rows of three and four voxels: only the fourth is away, by 2 mm.
  masks = [_voxels((1, 1, 6), np.s_[0, 0, 1:n]) for n in (5, 4)]
  came = surface_distance.surface_distances(*masks, (1, 1, 2))
  assert came.from_prediction.tolist() == [0, 0, 0, 2]
  assert came.from_truth.tolist() == [0, 0, 0]
  assert came.average == pytest.approx((2 / 4 + 0) / 2)


def test_surface_of_a_cube_is_all_but_its_inside():
  cube = _voxels((5, 5, 5), np.s_[1:4, 1:4, 1:4])
  assert surface_distance.surface(cube).sum() == 26
  assert surface_distance.surface(np.ones((3, 3, 3), bool)).sum() == 26


def test_result_does_not_depend_on_the_background_around():
  first, second = (_ball(5, (8, 8, c), shape=(18, 18, 18)) for c in (7, 9))
  near = surface_distance.surface_distances(first, second, (1, 1, 2))
  far = surface_distance.surface_distances(
      np.pad(first, 7), np.pad(second, 7), (1, 1, 2))
  assert (near.hausdorff(), near.average) == (far.hausdorff(), far.average)


@pytest.mark.parametrize('first, second', [(0, 0), (0, 1), (1, 0)], ids=[
    'absent from both', 'missed', 'invented'])
def test_there_is_no_distance_to_what_does_not_exist(first, second):
  masks = [np.full((3, 3, 3), bool(value)) for value in (first, second)]
  assert surface_distance.surface_distances(*masks, (1, 1, 1)) is None


def test_other_shapes_and_spacings_are_refused():
  mask = np.ones((2, 2, 2), bool)
  for other, spacing_mm in ((mask[0], (1, 1, 1)), (mask, (1, 1))):
    with pytest.raises(ValueError, match='expected'):
      surface_distance.surface_distances(other, mask, spacing_mm)
