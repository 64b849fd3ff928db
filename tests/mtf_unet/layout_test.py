"""Mesh and layout strings, the shorthand, and sizes that cannot be cut."""

import pytest

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import layout


def _partition(**kwargs):
  return layout.partition(config_lib.MeshConfig(**kwargs))


def test_shorthand_names_axes_after_the_split_dims():
  split = _partition(spatial_split=(2, 1, 3), batch_split=2)
  assert split.mesh_shape_string() == 'batch_blocks:2;x_blocks:2;z_blocks:3'
  assert split.layout_string() == (
      'batch:batch_blocks;x:x_blocks;z:z_blocks')
  assert split.spatial_split == (2, 1, 3)
  assert (split.mesh_size, split.num_devices) == (12, 12)


def test_nothing_split_is_one_block():
  split = _partition()
  assert (split.mesh_shape, split.layout, split.mesh_size) == ((), (), 1)
  assert split.block_of(0) == {}


@pytest.mark.parametrize('separator', [',', ';', ', '])
def test_strings_are_read_as_mesh_tensorflow_writes_them(separator):
  split = _partition(
      mesh_shape=separator.join(['rows:4', 'columns:2', 'cores:2']),
      layout=separator.join(['batch:cores', 'x:rows', 'y:columns']))
  assert split.spatial_split == (4, 2, 1)
  assert split.blocks('batch') == 2
  assert split.mesh_shape_string() == 'rows:4;columns:2;cores:2'


def test_last_axis_of_the_mesh_runs_fastest():
  split = _partition(mesh_shape='rows:2,cores:3', layout='batch:cores,x:rows')
  assert [split.block_of(i) for i in range(4)] == [
      {'x': 0, 'batch': 0}, {'x': 0, 'batch': 1}, {'x': 0, 'batch': 2},
      {'x': 1, 'batch': 0}]


def test_fewer_devices_than_blocks():
  split = _partition(spatial_split=(2, 2, 1), devices=2)
  assert (split.mesh_size, split.num_devices) == (4, 2)


@pytest.mark.parametrize('mesh, words', [
    ({'mesh_shape': 'rows', 'layout': 'x:rows'}, "got 'rows'.*name:size"),
    ({'mesh_shape': 'rows:two', 'layout': 'x:rows'}, "size 'two'.*1 or more"),
    ({'mesh_shape': 'rows:0', 'layout': 'x:rows'}, "size '0'"),
    ({'mesh_shape': 'rows:2,rows:2', 'layout': 'x:rows'}, 'an axis twice'),
    ({'mesh_shape': 'rows:2', 'layout': 'w:rows'},
     "'w' is no dimension.*batch, x, y, z"),
    ({'mesh_shape': 'rows:2', 'layout': 'x:columns'},
     'x:columns names a mesh axis that does not exist.*rows'),
    ({'mesh_shape': 'rows:2,columns:2', 'layout': 'x:rows,x:columns'},
     'dimension x appears twice'),
    ({'mesh_shape': 'rows:2', 'layout': 'x:rows,y:rows'},
     'mesh axis rows appears twice'),
    ({'mesh_shape': 'rows:2', 'layout': 'x:rows', 'batch_split': 2},
     'one of the two'),
    ({'spatial_split': (2, 2, 1), 'devices': 3},
     '3 devices do not divide the 4 blocks evenly; nearest that works: [24]'),
], ids=['no size', 'no number', 'zero', 'axis twice', 'unknown dim',
        'unknown axis', 'dim twice', 'axis used twice', 'both ways',
        'devices'])
def test_mistakes_are_named_in_one_line(mesh, words):
  with pytest.raises(errors.InputError, match=words) as caught:
    _partition(**mesh)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('size', [(16, 8, 4), (48, 40, 12), (16, 8, 20)])
def test_fault_9_sizes_need_not_be_cubes(size):
  layout.check_sizes(_partition(spatial_split=(4, 2, 1)), size, 1, (4, 4, 4))


@pytest.mark.parametrize('size, batch, words', [
    ((16, 12, 8), 2, '12 voxels along y do not divide into 2 blocks of a '
                     'multiple of 4; nearest that works: 8 or 16'),
    ((4, 8, 8), 2, '4 voxels along x .* nearest that works: 8'),
    ((16, 16, 6), 2, '6 voxels along z .* nearest that works: 4 or 8'),
    ((16, 16, 8), 3, 'batch_size: 3 .* nearest that works: 4'),
], ids=['between', 'too small', 'unsplit', 'batch'])
def test_sizes_that_do_not_divide_name_the_nearest(size, batch, words):
  split = _partition(spatial_split=(2, 2, 1), batch_split=2)
  with pytest.raises(errors.InputError, match=words):
    layout.check_sizes(split, size, batch, (4, 4, 4))
