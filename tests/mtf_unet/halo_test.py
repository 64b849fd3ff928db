"""Halo exchange against zero padding and slicing in NumPy."""

import numpy as np
import pytest

from mtf_unet import blocks
from mtf_unet import halo
from mtf_unet import layout
from tests.mtf_unet import lowered

_X = np.random.RandomState(0).randn(2, 8, 12, 4, 3).astype(np.float32)
_DIMS = ('batch', 'x', 'y', 'z')


def _exchanged(mesh, margins):
  """Returns the partition and each block after the exchange."""
  with lowered.bench(mesh) as b:
    images = b.activation(_X)
    lowering = b.lower()
    wide = halo.exchange(b.mesh_impl, lowering.tensors[images],
                         images.shape.dims[1:-1], margins)
    with b.session(lowering) as session:
      return b.partition, session.run(wide.tensor_list)


def _expected(partition, margins):
  """The same by padding the whole volume with zeros."""
  padded = np.pad(_X, [(0, 0), *margins, (0, 0)])
  for place in blocks.places(partition, _DIMS, _X.shape[:-1]):
    wide = [slice(part.start, part.stop + before + after)
            for part, (before, after) in zip(place[1:], margins)]
    yield padded[(place[0], *wide)]


@pytest.mark.parametrize('mesh', [
    *lowered.MESHES.values(), *lowered.MORE_MESHES.values()],
    ids=[*lowered.MESHES, *lowered.MORE_MESHES])
@pytest.mark.parametrize('margins', [
    [(1, 1), (1, 1), (1, 1)],
    [(5, 3), (7, 0), (0, 3)],
    [(9, 9), (0, 0), (4, 1)],
], ids=['one voxel', 'uneven, above a block', 'above the volume'])
def test_blocks_hold_their_neighbours_margins(mesh, margins):
  partition, came = _exchanged(mesh, margins)
  expected = list(_expected(partition, margins))
  assert len(came) == len(expected) == partition.mesh_size
  for block, wanted in zip(came, expected):
    np.testing.assert_array_equal(block, wanted)


def test_no_margin_leaves_the_tensors_untouched():
  with lowered.bench(lowered.MESHES['2x2x1']) as b:
    images = b.activation(_X)
    blocks_before = b.lower().tensors[images]
    after = halo.exchange(b.mesh_impl, blocks_before,
                          images.shape.dims[1:-1], [(0, 0)] * 3)
    assert after is blocks_before


def test_block_order_is_that_of_the_partition():
  split = layout.partition(lowered.split(2, 3, 1))
  assert [split.block_of(i) for i in range(6)] == [
      {'x': x, 'y': y} for x in range(2) for y in range(3)]
