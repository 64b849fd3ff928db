"""Planned memory against the real graph and a real process."""

import math
import pathlib
import sys

import pytest
import tensorflow as tf

from lamb import mesh as lamb_mesh
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import memory_planner
from mtf_unet import optimizers
from mtf_unet.benchmark import rounds
from mtf_unet.mtf_compat import mtf

_BENCHMARK = (pathlib.Path(__file__).parents[2] / 'scripts' / 'mtf_unet'
              / 'benchmark.py')
_MIB = 2 ** 20
_FACTORIES = {
    **optimizers.BUILT_IN,
    'lamb': lambda rate, config, step: lamb_mesh.LambOptimizer(
        rate, global_step=step)}


def _config(size=(16, 16, 16), mesh=None, **groups):
  groups.setdefault('training', {'batch_size': 1})
  return config_lib.from_mapping({'data': {'size': size}, 'mesh': mesh or {},
                                  **groups})


def _plan(*args, **kwargs):
  config = _config(*args, **kwargs)
  return memory_planner.plan(config, layout.partition(config.mesh))


@pytest.mark.parametrize('name', memory_planner.OPTIMIZERS)
@pytest.mark.parametrize('shape', [(3, 3, 3, 128, 256), (2, 2, 2, 64, 128),
                                   (3, 3, 3, 1, 8), (200,)], ids=str)
def test_optimizer_state_is_that_of_the_graph(name, shape):
  with tf.Graph().as_default():
    mesh = mtf.Mesh(mtf.Graph(), 'mesh')
    step = tf.compat.v1.train.get_or_create_global_step()
    variable = mtf.get_variable(mesh, 'v', mtf.Shape([
        mtf.Dimension(f'd{i}', n) for i, n in enumerate(shape)]))
    optimizer = optimizers.make(config_lib.OptimizerConfig(name=name),
                                tf.constant(0.1), step, _FACTORIES)
    optimizer.apply_grads([mtf.ones_like(variable)],
                          mesh.graph.trainable_variables)
  state = sum(v.shape.size * v.master_dtype.size
              for v in mesh.graph.all_variables if not v.trainable)
  assert memory_planner.optimizer_bytes(name, shape) == state


def test_unknown_optimizer_is_refused():
  with pytest.raises(errors.InputError, match="got 'sgd'.*adafactor, adam"):
    _plan(optimizer={'name': 'sgd'})


def test_weights_count_averages_and_moving_statistics():
  parameters, channels = 5_600_963, 32 * (1 + 2 + 4 + 8) * 2 + 32 * 7 * 2
  statistics = 2 * channels
  assert _plan().total('parameters') == parameters
  assert _plan().total('weights') == 4 * (parameters + statistics)
  averaged = _plan(training={'batch_size': 1, 'ema_decay': 0.9})
  assert averaged.total('weights') == 4 * (2 * parameters + statistics)


def test_bfloat16_keeps_a_copy_of_every_filter_and_halves_activations():
  half = _plan(network={'activation_dtype': 'bfloat16'})
  vectors = 2 * (32 * (1 + 2 + 4 + 8) * 2 + 32 * 7 * 2) + 3
  assert half.total('weights') - _plan().total('weights') == 2 * (
      half.total('parameters') - vectors)
  assert 0.5 < half.total('kept') / _plan().total('kept') < 0.6


def test_coarse_heads_are_among_the_layers_and_their_weights_count():
  deep = _plan(network={'deep_supervision': 2})
  names = [layer.layer.name for layer in deep.layers]
  assert names[names.index('decoder_1_1') + 1] == 'head_1'
  # 1x1x1 filters of 64 and of 128 channels to 3 classes, and biases.
  weights = 64 * 3 + 3 + 128 * 3 + 3
  assert (deep.total('parameters') - _plan().total('parameters')) == weights
  assert deep.variables - _plan().variables == 3 * 4 * weights
  head = deep.layers[names.index('head_1')]
  assert head.shape == (1, 8, 8, 8, 3)
  assert head.kept == 8 ** 3 * (3 * 4 + 1)


def test_halo_is_the_part_of_what_is_kept_that_a_whole_volume_lacks():
  whole, cut = _plan((32, 32, 32)), _plan((32, 32, 32), {
      'spatial_split': (2, 2, 2)})
  assert whole.total('halo') == 0
  assert cut.total('halo') > 0
  # The layers after a pool keep their input twice: whole, for its gradient,
  # only where nothing is widened.
  assert 8 * (cut.total('kept') - cut.total('halo')) == pytest.approx(
      whole.total('kept'), rel=0.01)


def test_device_holds_variables_once_for_all_its_blocks():
  one = _plan((32, 16, 16), {'spatial_split': (2, 1, 1)})
  two = _plan((32, 16, 16), {'spatial_split': (2, 1, 1), 'devices': 1})
  assert two.blocks_per_device == 2
  assert two.device - one.device == one.block.bytes


def test_a_worker_holds_the_variables_and_its_own_blocks():
  plan = _plan((64, 32, 16), {'spatial_split': (2, 2, 1)})
  tensors = memory_planner.process_tensors
  assert tensors(plan, 4) == plan.variables + plan.block.bytes
  assert tensors(plan, 2) == plan.variables + 2 * plan.block.bytes
  worker = memory_planner.WORKER_ALLOCATOR
  assert memory_planner.process_bytes(plan, 4) == round(
      worker.process_bytes + worker.factor * tensors(plan, 4))


def test_more_blocks_take_less_memory_each():
  devices = [_plan((64, 64, 64), {'spatial_split': split}).device
             for split in ((1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2))]
  assert devices == sorted(devices, reverse=True)


def test_sizes_that_do_not_divide_are_refused():
  with pytest.raises(errors.InputError, match='nearest that works: 16 or 32'):
    _plan((24, 16, 16), {'spatial_split': (2, 1, 1)})


@pytest.mark.parametrize('text, gib', [('v2', 8), ('v3', 16), ('v4', 32),
                                       ('0.5', 0.5)])
def test_device_is_a_generation_or_gib(text, gib):
  assert memory_planner.parse_device(text) == gib


@pytest.mark.parametrize('text', ['v9', '-1', '0', 'inf', 'nan', ''])
def test_device_that_is_neither_is_refused(text):
  with pytest.raises(errors.InputError, match='expected v2, v3, v4 or a pos'):
    memory_planner.parse_device(text)


@pytest.mark.slow
@pytest.mark.parametrize('base, size, split, supervised', [
    (8, 64, (1, 1, 1), 0), (16, 32, (1, 1, 1), 2), (16, 64, (1, 1, 1), 0),
    (8, 64, (2, 2, 1), 0)], ids=str)
def test_process_takes_what_is_planned_within_15_percent(base, size, split,
                                                         supervised):
  plan = _plan((size,) * 3, {'spatial_split': split}, network={
      'base_filters': base, 'deep_supervision': supervised})
  report = rounds.run_child(
      [sys.executable, str(_BENCHMARK), '--steps=2', f'--base={base}',
       f'--size={size}', f'--deep_supervision={supervised}',
       f'--variant=mesh {"x".join(map(str, split))}'], 900)
  assert 'note' not in report, report['note']
  assert report['parameters'] == plan.total('parameters')
  _assert_close(memory_planner.process_bytes(plan), report)


def _assert_close(planned_bytes, report):
  planned, measured = planned_bytes / _MIB, report['peak_mib']
  assert math.isclose(planned, measured, rel_tol=0.15), (
      f'planned {planned:.0f} MiB, measured {measured:.0f} MiB')


@pytest.mark.slow
def test_process_that_computes_again_takes_what_is_planned(monkeypatch):
  monkeypatch.setenv('TF_ONEDNN_USE_SYSTEM_ALLOCATOR', '1')
  monkeypatch.setenv('MALLOC_MMAP_THRESHOLD_', str(_MIB))
  levels = (0, 1, 2, 3)
  plan = _plan((64, 64, 64), network={'base_filters': 16, 'recompute': levels})
  report = rounds.run_child(
      [sys.executable, str(_BENCHMARK), '--steps=2', '--base=16', '--size=64',
       '--variant=mesh 1x1x1', *(f'--recompute={n}' for n in levels)], 900)
  assert 'note' not in report, report['note']
  _assert_close(memory_planner.process_bytes(plan, system_allocator=True),
                report)
