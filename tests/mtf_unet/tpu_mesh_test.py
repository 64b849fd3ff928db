"""Topologies made by hand, and blocks on their cores."""

import numpy as np
import pytest

from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import tpu_mesh
from tests.mtf_unet import lowered


@pytest.mark.parametrize('cores, mesh_shape, hosts', [
    (2, [1, 1, 1, 2], 1), (4, [2, 1, 1, 2], 1), (8, [2, 2, 1, 2], 1),
    (16, [4, 2, 1, 2], 2), (32, [4, 4, 1, 2], 4), (512, [16, 16, 1, 2], 64)])
def test_a_made_topology_is_a_plane_of_chips(cores, mesh_shape, hosts):
  topology = tpu_mesh.made_topology(cores)
  np.testing.assert_array_equal(topology.mesh_shape, mesh_shape)
  assert topology.num_tasks == hosts
  places = topology.device_coordinates.reshape(-1, 4)
  assert len({tuple(place) for place in places}) == cores


@pytest.mark.parametrize('cores', [0, 1, 7])
def test_odd_numbers_of_cores_are_refused(cores):
  with pytest.raises(errors.InputError, match='expected an even number'):
    tpu_mesh.made_topology(cores)


def test_each_core_has_one_block():
  partition = layout.partition(lowered.split(2, 2, 2))
  assignment = tpu_mesh.assignment(tpu_mesh.made_topology(8))
  mesh_impl = tpu_mesh.simd_mesh(partition, assignment)
  assert mesh_impl.shape.to_string == (
      'Shape[x_blocks=2, y_blocks=2, z_blocks=2]')
  assert mesh_impl.devices == []


@pytest.mark.parametrize('mesh, words', [
    (lowered.split(2, 2, 1), '4 blocks on 4 devices'),
    (lowered.split(4, 4, 1, devices=8), '16 blocks on 8 devices'),
], ids=['too few', 'several on each'])
def test_other_numbers_of_blocks_are_refused(mesh, words):
  with pytest.raises(errors.InputError,
                     match=f'{words}, expected one block for each of the 8'):
    tpu_mesh.check_cores(layout.partition(mesh), 8)
