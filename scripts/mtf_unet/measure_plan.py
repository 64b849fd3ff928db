"""Compares planned with measured memory of one process, or of several.

  python scripts/mtf_unet/measure_plan.py --sizes=64,96,128 --base=16
  python scripts/mtf_unet/measure_plan.py --sizes=64,96,128 --processes=1,2,4

For each size a fresh process (scripts/mtf_unet/benchmark.py) runs training
steps of batch 1 and reports its peak resident memory above idle; the table
sets it beside what the planner says. With --processes the volume is cut into a
block for each of so many workers on the loopback address
(scripts/mtf_unet/benchmark_cluster.py), and the largest of them counts.
"""

from collections.abc import Iterator
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
from mtf_unet.benchmark import process_rows
from mtf_unet.benchmark import rounds
from mtf_unet.benchmark import variants

_SIZES = flags.DEFINE_list('sizes', ['64', '96', '128'],
                           'Voxels along each edge.')
_BASE = flags.DEFINE_integer('base', 16, 'Filters of the first level.')
_VARIANT = flags.DEFINE_string(
    'variant', 'mesh 1x1x1', 'Mesh to measure in one process.')
_PROCESSES = flags.DEFINE_list(
    'processes', [], 'Numbers of processes, out of 1, 2, 4, 8, in place of '
    '--variant.')
_RECOMPUTE = flags.DEFINE_multi_integer(
    'recompute', [], 'Level whose activations are computed again instead of '
    'kept; once for each level.')
_DEEP_SUPERVISION = flags.DEFINE_integer(
    'deep_supervision', 0, 'Coarser levels with a loss of their own.')
_SYSTEM_ALLOCATOR = flags.DEFINE_bool(
    'system_allocator', False, 'Start the processes with the environment that '
    "makes TensorFlow use the system's allocator (see docs/memory.md).")
_STEPS = flags.DEFINE_integer('steps', 3, 'Steps after two of warm-up.')
_OUTPUT = flags.DEFINE_string(
    'output', '', 'File for all numbers, as JSON.')
_TIMEOUT_S = flags.DEFINE_float(
    'timeout_s', 1800, 'Seconds after which a process is given up.')

_MIB = 2 ** 20
_SCRIPTS = pathlib.Path(__file__).absolute().parent


def _problem(size: int) -> problem_lib.Problem:
  return problem_lib.Problem(
      _BASE.value, size, _STEPS.value, recompute=tuple(_RECOMPUTE.value),
      deep_supervision=_DEEP_SUPERVISION.value)


def _plan(problem: problem_lib.Problem, split: tuple[int, int, int]
          ) -> memory_planner.Plan:
  """Plans the benchmark's step."""
  problem.check_split(split)
  config = config_lib.Config(
      data=config_lib.DataConfig(size=(problem.size,) * 3,
                                 num_classes=problem.num_classes),
      mesh=config_lib.MeshConfig(spatial_split=split),
      network=problem.network,
      training=config_lib.TrainingConfig(batch_size=1))
  return memory_planner.plan(config, layout.partition(config.mesh))


def _report(size: int, script: str, *flags_of_it: str) -> rounds.Report:
  """Runs a script of this folder that measures one row."""
  report = rounds.run_child(
      [sys.executable, str(_SCRIPTS / script), f'--base={_BASE.value}',
       f'--size={size}', f'--steps={_STEPS.value}', *flags_of_it],
      _TIMEOUT_S.value)
  if 'note' in report:
    raise errors.InputError(f'--sizes: {size}: {report["note"]}')
  return report


def _of_mesh(size: int) -> dict:
  """Measures one process that holds a whole mesh."""
  problem, variant = _problem(size), variants.find(_VARIANT.value)
  if not variant.blocks:
    raise errors.InputError(
        f'--variant: got {variant.name!r}, expected a mesh')
  plan = _plan(problem, next(iter(variant.modes.values()))['spatial_split'])
  report = _report(
      size, 'benchmark.py', f'--variant={variant.name}',
      f'--deep_supervision={problem.deep_supervision}',
      *(f'--recompute={level}' for level in problem.recompute))
  return {'size': size, 'name': variant.name,
          **_figures(plan, 1, report['peak_mib'])}


def _of_processes(size: int, count: int) -> dict:
  """Measures the largest of several processes with a block each."""
  row = process_rows.of_processes(count)
  plan = _plan(_problem(size), row.split)
  report = _report(size, 'benchmark_cluster.py', f'--row={row.name}',
                   *([f'--workers={count}'] if row.workers else []))
  return {'size': size, 'name': row.name,
          **_figures(plan, count, max(report['peak_mib']))}


def _figures(plan, processes, measured_mib):
  """MiB of tensors in a process, planned and measured."""
  return {
      'tensors_mib': memory_planner.process_tensors(plan, processes) / _MIB,
      'planned_mib': memory_planner.process_bytes(
          plan, processes, system_allocator=_SYSTEM_ALLOCATOR.value) / _MIB,
      'measured_mib': measured_mib}


def _measured() -> Iterator[dict]:
  """Yields row after row, the sizes in turn."""
  for size in map(int, _SIZES.value):
    if not _PROCESSES.value:
      yield _of_mesh(size)
    for count in map(int, _PROCESSES.value):
      yield _of_processes(size, count)


def _check_flags() -> None:
  for flag in (_SIZES, _PROCESSES):
    if not all(text.isdigit() for text in flag.value):
      raise errors.InputError(
          f'--{flag.name}: got {",".join(flag.value)!r}, expected whole '
          'numbers separated by commas')
  for count in map(int, _PROCESSES.value):
    if count not in process_rows.SPLITS:
      raise errors.InputError(
          f'--processes: got {count}, expected numbers out of '
          f'{", ".join(map(str, process_rows.SPLITS))}')
  for flag in (_RECOMPUTE, _DEEP_SUPERVISION, _SYSTEM_ALLOCATOR):
    if _PROCESSES.value and flag.value:
      raise errors.InputError(
          f'--processes: got it beside --{flag.name}, expected one of the two')


def main() -> None:
  """Prints a line for each row as soon as it is measured."""
  _check_flags()
  if _SYSTEM_ALLOCATOR.value:
    os.environ.update(memory_planner.SYSTEM_ALLOCATOR_ENVIRONMENT)
  print(f'Base {_BASE.value}, batch 1, float32, Adafactor; levels computed '
        f'again {_RECOMPUTE.value}, levels supervised '
        f'{_DEEP_SUPERVISION.value}, allocator '
        f'{"of the system" if _SYSTEM_ALLOCATOR.value else "of TensorFlow"}.\n')
  print('| size | | tensors of a process, MiB | planned, MiB | measured, MiB '
        '| planned / measured |\n|---|---|---|---|---|---|')
  rows = []
  for row in _measured():
    rows.append(row)
    planned, measured = row['planned_mib'], row['measured_mib']
    print(f'| {row["size"]}^3 | {row["name"]} | {row["tensors_mib"]:.0f} | '
          f'{planned:.0f} | {measured:.0f} | {planned / measured:.2f} |',
          flush=True)
  if _OUTPUT.value:
    settings = {'sizes': _SIZES.value, 'base': _BASE.value,
                'variant': _VARIANT.value, 'processes': _PROCESSES.value,
                'steps': _STEPS.value, 'recompute': _RECOMPUTE.value,
                'deep_supervision': _DEEP_SUPERVISION.value,
                'system_allocator': _SYSTEM_ALLOCATOR.value}
    # The weights of the timed network are random and decide nothing.
    atomic_file.write_json(_OUTPUT.value, {
        'rows': rows, 'run': run_record.describe(settings, seed=0)})


if __name__ == '__main__':
  command_line.run(main)
