import numpy as np
import pytest

from mtf_unet import blocks
from mtf_unet import config as config_lib
from mtf_unet import layout

_DIMS = ('batch', 'x', 'y', 'z')


def _partition(**mesh):
  return layout.partition(config_lib.MeshConfig(**mesh))


def test_places_of_2x1x2_are_in_mesh_order():
  where = blocks.places(_partition(spatial_split=(2, 1, 2)), _DIMS,
                        (1, 4, 3, 6))
  x, z = [(place[1], place[3]) for place in where], where[0][2]
  low, high = (slice(0, 2), slice(2, 4)), (slice(0, 3), slice(3, 6))
  assert x == [(low[0], high[0]), (low[0], high[1]),
               (low[1], high[0]), (low[1], high[1])]
  assert z == slice(0, 3)


@pytest.mark.parametrize('mesh', [
    {}, {'spatial_split': (2, 2, 2)}, {'batch_split': 2},
    {'batch_split': 2, 'spatial_split': (1, 3, 1)},
    {'mesh_shape': 'a:3,b:2', 'layout': 'z:b,y:a'},
    # An axis that cuts nothing: both of its blocks are the same.
    {'mesh_shape': 'a:2,idle:2', 'layout': 'x:a'},
], ids=str)
@pytest.mark.parametrize('extra', [(), (2,)], ids=['labels', 'channels'])
def test_join_undoes_the_cut(mesh, extra):
  shape = (2, 4, 6, 2)
  whole = np.random.default_rng(0).random(shape + extra)
  where = blocks.places(_partition(**mesh), _DIMS, shape)
  np.testing.assert_array_equal(
      blocks.join([whole[place] for place in where], where, shape), whole)


def test_dims_that_are_not_named_are_left_whole():
  where = blocks.places(_partition(spatial_split=(2, 1, 2)),
                        ('batch', 'x', 'y'), (1, 4, 3))
  assert [place[1] for place in where] == [
      slice(0, 2), slice(0, 2), slice(2, 4), slice(2, 4)]
