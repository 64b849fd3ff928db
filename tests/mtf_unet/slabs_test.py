"""Slabs cover a block once, in order, and are small."""

import pytest

from mtf_unet import slabs


@pytest.mark.parametrize('shape', [
    (1, 64, 64, 64), (2, 100, 96, 80), (1, 256, 256, 256), (1, 3, 2048, 2048),
    (4, 512, 512)], ids=str)
def test_slabs_cover_every_voxel_once(shape):
  covered = []
  for begin, size in slabs.along_x(shape):
    assert size > 0
    covered += range(begin, begin + size)
  assert covered == list(range(shape[1]))


def test_a_small_block_is_one_slab():
  assert slabs.along_x((1, 64, 64, 64)) == [(0, 64)]


def test_a_large_block_has_sixteen():
  assert slabs.along_x((1, 256, 256, 256)) == [
      (16 * i, 16) for i in range(16)]
