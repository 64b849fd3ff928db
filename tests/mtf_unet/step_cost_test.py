"""Work and traffic against hand-worked and known numbers."""

import pytest

from configs.mtf_unet import lits_512
from mtf_unet import architecture
from mtf_unet import config as config_lib
from mtf_unet import layout
from mtf_unet import memory_planner
from mtf_unet import step_cost
from mtf_unet import step_schedule


def _config(size=(16, 16, 16), batch_size=1, **groups):
  return config_lib.from_mapping({
      'data': {'size': size}, 'training': {'batch_size': batch_size},
      **groups})


def _cost(config):
  return step_cost.cost(config, layout.partition(config.mesh))


@pytest.mark.parametrize('size, tflop', [(512, 57.4), (256, 7.17),
                                         (128, 0.90)])
def test_forward_work_of_the_papers_network_is_as_known(size, tflop):
  config = _config((size,) * 3)
  block = step_schedule.Block.of(config, layout.partition(config.mesh))
  came = sum(step_cost.convolution_flop(layer, block)
             for layer in memory_planner.layers_of(config))
  assert came / 1e12 == pytest.approx(tflop, rel=0.01)


def test_transposed_convolution_meets_every_voxel_that_it_takes_in():
  layer = architecture.Layer(architecture.UP, 'up_0', 0, 8, 4)
  block = step_schedule.Block(1, (4, 4, 4), False, 4)
  assert step_cost.convolution_flop(layer, block) == 2 * 8 * (8 * 4) * 2 ** 3


def test_backward_pass_is_two_more_convolutions_but_for_the_first_layer():
  config = _config()
  block = step_schedule.Block.of(config, layout.partition(config.mesh))
  forward = [step_cost.convolution_flop(layer, block)
             for layer in memory_planner.layers_of(config)]
  assert _cost(config).flop == 3 * sum(forward) - forward[0]


def test_work_does_not_depend_on_the_split():
  split = _config(mesh={'spatial_split': (2, 2, 1)})
  assert _cost(split).flop == _cost(_config()).flop


@pytest.mark.parametrize('edge, percent', [(64, 6), (32, 13), (16, 27),
                                           (8, 56)])
def test_margins_of_two_split_axes_add_the_known_voxels(edge, percent):
  config = _config((4 * edge, 4 * edge, 16),
                   mesh={'spatial_split': (4, 4, 1)})
  assert round(100 * _cost(config).layers[0].halo_voxels) == percent


def test_bytes_of_an_exchange_by_hand():
  margins = [(1, 1)] * 3
  # 4 blocks along x: both sides of 6 x 8 voxels. 2 along y: one side of the
  # widened 6 x 8 (x, z). z is whole.
  assert step_cost.margin_bytes((4, 6, 8), (4, 2, 1), margins,
                                voxel_bytes=10) == 10 * (2 * 48 + 6 * 8)


def test_one_block_receives_nothing():
  assert _cost(_config()).received == 0


def test_cutting_the_batch_exchanges_sums_alone():
  cost = _cost(_config(batch_size=2, mesh={'batch_split': 2}))
  assert cost.device('margins') == 0
  norms = 2 * sum(
      layer.outputs for layer in memory_planner.layers_of(_config())
      if layer.kind == architecture.CONVOLUTION)
  # A ring of two passes each float32 once. Scales and offsets are among the
  # sums: mean and variance forward, their own gradients backward.
  assert cost.device('gradients') == (5_600_963 - norms) * 4
  assert cost.device('sums') == 2 * norms * 4


def test_instance_norm_sums_over_space_alone():
  network = {'network': {'normalization': 'instance'}}
  space = _cost(_config(mesh={'spatial_split': (2, 1, 1)}, **network))
  batch = _cost(_config(batch_size=2, mesh={'batch_split': 2}, **network))
  # Over the batch only the gradients to scale and offset are added up.
  assert batch.device('sums') * 2 == space.device('sums')


def test_paper_mesh_receives_less_than_an_eighth_of_what_it_keeps():
  config = config_lib.from_mapping(lits_512.get_config())
  partition = layout.partition(config.mesh)
  kept = memory_planner.plan(config, partition).total('kept')
  assert 0 < step_cost.cost(config, partition).received < kept / 8


def test_more_blocks_on_a_device_receive_more():
  one = _cost(_config(mesh={'spatial_split': (4, 1, 1)}, size=(32, 16, 16)))
  two = _cost(_config(mesh={'spatial_split': (4, 1, 1), 'devices': 2},
                      size=(32, 16, 16)))
  assert two.received == 2 * one.received
  assert two.flop == one.flop


def test_an_input_that_is_computed_again_is_exchanged_again():
  kept, again = (
      _cost(_config(mesh={'spatial_split': (2, 1, 1)}, network={
          'base_filters': 4, 'levels': 1, 'recompute': levels}))
      for levels in ((), (0,)))
  # The second convolution's input: a plane of 16 x 16 voxels, 4 channels.
  assert again.device('margins') - kept.device('margins') == 16 * 16 * 4 * 4


def test_a_coarse_head_computes_and_sums_for_itself():
  mesh = {'spatial_split': (2, 1, 1)}
  plain, deep = (_cost(_config(mesh=mesh, network={
      'base_filters': 4, 'levels': 3, 'deep_supervision': depth}))
                 for depth in (0, 1))
  # 8 channels to 3 classes at 8^3 voxels, forward and two gradients.
  assert deep.flop - plain.flop == 3 * 2 * 8 * 3 * 8 ** 3
  assert deep.loss_sums == 2 * plain.loss_sums
  assert deep.device('gradients') - plain.device('gradients') == 4 * (8 * 3 + 3)
