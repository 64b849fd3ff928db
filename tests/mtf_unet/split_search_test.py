"""The smallest mesh that fits, and what is said where none does."""

import dataclasses
import itertools
import math

import pytest

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import memory_planner
from mtf_unet import split_search
from mtf_unet import step_cost
from mtf_unet import training


def _config(size=(32, 32, 32), batch_size=2, mesh=None, **network):
  return config_lib.from_mapping({
      'data': {'size': size}, 'mesh': mesh or {},
      'network': {'base_filters': 4, 'levels': 3, **network},
      'training': {'batch_size': batch_size}})


def _whole_gib(config):
  plan = memory_planner.plan(config, layout.partition(
      config_lib.MeshConfig()))
  return plan.device / memory_planner.GIB


def test_no_smaller_mesh_fits_and_no_other_of_its_size_receives_less():
  config = _config()
  gib = 0.3 * _whole_gib(config)
  found = split_search.fit(config, gib)
  assert found.device <= gib * memory_planner.GIB
  # Everything that the sizes allow, without asking split_search.
  for batch, *space in itertools.product((1, 2), *[(1, 2, 4, 8)] * 3):
    count = batch * math.prod(space)
    if count <= found.partition.mesh_size:
      other = layout.partition(config_lib.MeshConfig(
          spatial_split=tuple(space), batch_split=batch))
      fits = memory_planner.plan(
          config, other).device <= gib * memory_planner.GIB
      assert not (fits and count < found.partition.mesh_size)
      assert not fits or step_cost.cost(config, other).received >= (
          step_cost.cost(config, found.partition).received)


def test_one_device_is_enough_where_everything_fits():
  config = _config()
  plan = split_search.fit(config, 1.01 * _whole_gib(config))
  assert plan.partition.mesh_size == 1


def test_batch_is_cut_before_space():
  config = _config()
  plan = split_search.fit(config, 0.9 * _whole_gib(config))
  assert plan.partition.blocks('batch') == 2
  assert plan.partition.spatial_split == (1, 1, 1)


def test_longest_axis_is_cut_first():
  config = _config((16, 16, 64), batch_size=1)
  plan = split_search.fit(config, 0.7 * _whole_gib(config))
  assert plan.partition.spatial_split == (1, 1, 2)


def test_slices_are_not_cut_along_z():
  config = _config(dimensions=2, batch_size=1)
  splits = [p.spatial_split for p in split_search.partitions(config)]
  assert len(splits) == 16
  assert {split[2] for split in splits} == {1}


def test_device_too_small_for_any_mesh_is_refused_with_the_least():
  config = _config()
  with pytest.raises(
      errors.InputError,
      match=r'device: 1e-05 GiB are too small for any mesh; the least is .* '
      r'mesh\.spatial_split=\(8, 8, 8\), mesh\.batch_split=2.* variables'):
    split_search.fit(config, 1e-5)


def test_too_few_devices_are_named():
  config = _config()
  with pytest.raises(errors.InputError, match='any mesh of at most 2 devices'):
    split_search.fit(config, 0.3 * _whole_gib(config), max_devices=2)


def test_size_that_no_split_divides_is_refused():
  with pytest.raises(errors.InputError,
                     match='30 voxels along y .*nearest that works: 28 or 32'):
    split_search.fit(_config((32, 30, 32)), 1.0)


def test_automatic_mesh_of_a_job_is_the_one_that_fits(tmp_path):
  config = _config()
  gib = 0.3 * _whole_gib(config)
  automatic = dataclasses.replace(config, mesh=config_lib.MeshConfig(
      layout='auto', device_memory_gib=gib, devices=16))
  job = training.Job(automatic, str(tmp_path))
  assert job.partition == split_search.fit(config, gib, 16).partition
  assert job.partition.mesh_size > 1


@pytest.mark.parametrize('mesh, words', [
    ({'layout': 'auto'}, 'mesh.device_memory_gib: got None'),
    ({'layout': 'auto', 'device_memory_gib': 0.0}, 'got 0.0, expected a pos'),
    ({'device_memory_gib': 8}, "with mesh.layout='auto', else None"),
    ({'layout': 'auto', 'device_memory_gib': 8, 'spatial_split': (2, 1, 1)},
     "mesh.spatial_split: got .* beside mesh.layout='auto'"),
    ({'layout': 'auto', 'device_memory_gib': 8, 'mesh_shape': 'rows:2'},
     "neither, or 'auto' alone"),
])
def test_half_an_automatic_mesh_is_refused(mesh, words):
  with pytest.raises(errors.InputError, match=words):
    _config(mesh=mesh)


def test_automatic_layout_needs_the_whole_config():
  with pytest.raises(ValueError, match='split_search.partition_of'):
    layout.partition(config_lib.MeshConfig(layout='auto',
                                           device_memory_gib=8.0))
