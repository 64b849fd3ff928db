import itertools

import nibabel
import numpy as np
import pytest

from mtf_unet import orientations
from mtf_unet import volumes
from tests.mtf_unet import scans

_ORIENTATIONS = [
    (axes, signs) for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)]


@pytest.mark.parametrize('axes, signs', _ORIENTATIONS, ids=str)
def test_canonical_keeps_every_voxel_in_its_place(axes, signs):
  array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
  volume = volumes.Volume(array, scans.affine(axes, signs), 'some.nii')
  canonical, orientation = orientations.to_canonical(volume)
  assert nibabel.aff2axcodes(canonical.affine) == ('R', 'A', 'S')
  there = np.argwhere(canonical.array == array[1, 2, 0])[0]
  np.testing.assert_allclose(canonical.affine @ (*there, 1),
                             volume.affine @ (1, 2, 0, 1))
  np.testing.assert_array_equal(
      orientations.from_canonical(canonical.array, orientation), array)


@pytest.mark.parametrize('axes, signs', _ORIENTATIONS[::5], ids=str)
def test_turned_like_another_keeps_every_voxel_in_its_place(axes, signs):
  array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
  volume = volumes.Volume(array, scans.affine((1, 2, 0), (1, -1, 1)), 'a.nii')
  like = volumes.Volume(array, scans.affine(axes, signs), 'b.nii')
  turned = orientations.turned_like(volume, like)
  assert nibabel.aff2axcodes(turned.affine) == nibabel.aff2axcodes(like.affine)
  there = np.argwhere(turned.array == array[1, 2, 0])[0]
  np.testing.assert_allclose(turned.affine @ (*there, 1),
                             volume.affine @ (1, 2, 0, 1))
