"""Compares planned with measured memory of one process.

  python scripts/mtf_unet/measure_plan.py --sizes=64,96,128 --base=16

For each size a fresh process (scripts/mtf_unet/benchmark.py) runs training
steps of batch 1 and reports its peak resident memory above idle; the table
sets it beside what the planner says.
"""

import os
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import run_record

from mtf_unet import atomic_file
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import memory_planner
from mtf_unet.benchmark import problem as problem_lib
from mtf_unet.benchmark import rounds
from mtf_unet.benchmark import variants

_SIZES = flags.DEFINE_list('sizes', ['64', '96', '128'],
                           'Voxels along each edge.')
_BASE = flags.DEFINE_integer('base', 16, 'Filters of the first level.')
_VARIANT = flags.DEFINE_string('variant', 'mesh 1x1x1', 'Mesh to measure.')
_RECOMPUTE = flags.DEFINE_multi_integer(
    'recompute', [], 'Level whose activations are computed again instead of '
    'kept; once for each level.')
_SYSTEM_ALLOCATOR = flags.DEFINE_bool(
    'system_allocator', False, 'Start the processes with the environment that '
    "makes TensorFlow use the system's allocator (see docs/memory.md).")
_STEPS = flags.DEFINE_integer('steps', 3, 'Steps after two of warm-up.')
_OUTPUT = flags.DEFINE_string(
    'output', '', 'File for all numbers, as JSON.')
_TIMEOUT_S = flags.DEFINE_float(
    'timeout_s', 1800, 'Seconds after which a process is given up.')

_MIB = 2 ** 20
# The second one keeps the C library from holding on to freed tensors.
_SYSTEM_ALLOCATOR_ENVIRONMENT = {
    'TF_ONEDNN_USE_SYSTEM_ALLOCATOR': '1',
    'MALLOC_MMAP_THRESHOLD_': str(_MIB)}
_BENCHMARK = pathlib.Path(__file__).with_name('benchmark.py')


def _planned(problem: problem_lib.Problem, split: tuple[int, int, int]
             ) -> memory_planner.Plan:
  """Plans the benchmark's step."""
  config = config_lib.Config(
      data=config_lib.DataConfig(size=(problem.size,) * 3,
                                 num_classes=problem.num_classes),
      mesh=config_lib.MeshConfig(spatial_split=split),
      network=problem.network,
      training=config_lib.TrainingConfig(batch_size=1))
  return memory_planner.plan(config, layout.partition(config.mesh))


def _measure(size: int) -> dict[str, float]:
  """Measures one size; MiB of tensors, planned and measured."""
  problem = problem_lib.Problem(_BASE.value, size, _STEPS.value,
                                recompute=tuple(_RECOMPUTE.value))
  variant = variants.find(_VARIANT.value)
  if not variant.blocks:
    raise errors.InputError(
        f'--variant: got {variant.name!r}, expected a mesh')
  split = next(iter(variant.modes.values()))['spatial_split']
  problem.check_split(split)
  plan = _planned(problem, split)
  report = rounds.run_child(
      [sys.executable, os.path.abspath(_BENCHMARK),
       f'--variant={variant.name}', f'--base={problem.base_filters}',
       f'--size={size}', f'--steps={problem.steps}',
       *(f'--recompute={level}' for level in problem.recompute)],
      _TIMEOUT_S.value)
  if 'note' in report:
    raise errors.InputError(f'--sizes: {size}: {report["note"]}')
  return {
      'tensors_mib': (plan.variables
                      + plan.partition.mesh_size * plan.block.bytes) / _MIB,
      'planned_mib': memory_planner.process_bytes(
          plan, system_allocator=_SYSTEM_ALLOCATOR.value) / _MIB,
      'measured_mib': report['peak_mib']}


def _line(size: int, found: dict[str, float]) -> str:
  planned, measured = found['planned_mib'], found['measured_mib']
  return (f'| {size}^3 | {found["tensors_mib"]:.0f} | {planned:.0f} | '
          f'{measured:.0f} | {planned / measured:.2f} |')


def main() -> None:
  """Prints a line for each size as soon as it is measured."""
  if not all(text.isdigit() for text in _SIZES.value):
    raise errors.InputError(
        f'--sizes: got {",".join(_SIZES.value)!r}, expected whole numbers '
        'separated by commas')
  if _SYSTEM_ALLOCATOR.value:
    os.environ.update(_SYSTEM_ALLOCATOR_ENVIRONMENT)
  print(f'Base {_BASE.value}, batch 1, float32, Adafactor, {_VARIANT.value}, '
        f'levels computed again {_RECOMPUTE.value}, allocator '
        f'{"of the system" if _SYSTEM_ALLOCATOR.value else "of TensorFlow"}.\n')
  print('| size | tensors, MiB | planned for the process, MiB | measured, MiB '
        '| planned / measured |\n|---|---|---|---|---|')
  found = {}
  for size in map(int, _SIZES.value):
    found[str(size)] = _measure(size)
    print(_line(size, found[str(size)]), flush=True)
  if _OUTPUT.value:
    settings = {'sizes': _SIZES.value, 'base': _BASE.value,
                'variant': _VARIANT.value, 'steps': _STEPS.value,
                'recompute': _RECOMPUTE.value,
                'system_allocator': _SYSTEM_ALLOCATOR.value}
    # The weights of the timed network are random and decide nothing.
    atomic_file.write_json(_OUTPUT.value, {
        'sizes': found, 'run': run_record.describe(settings, seed=0)})


if __name__ == '__main__':
  command_line.run(main)
