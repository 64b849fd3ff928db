"""Times one UNet training step: this package, plain Keras and PyTorch.

  python scripts/mtf_unet/benchmark.py --repeats=3 --output=runs/benchmark

prints one table of seconds per step and peak memory, and writes it to
OUTPUT/benchmark.md and OUTPUT/benchmark.json. Every figure comes from a fresh
process; PyTorch's row needs torch (see docs/performance.md).

  python scripts/mtf_unet/benchmark.py --variant='mesh 2x2x2' --profile

tells instead on which kinds of kernels one step of a mesh spends its time.

  python scripts/mtf_unet/benchmark.py --largest --base=16 --steps=1 \
      --limit_gb=22 --output=runs/largest

finds the largest cube whose step fits a limit of memory, for this package,
plain Keras and PyTorch: OUTPUT/largest.md and largest.json. Started again, it
goes on after the last size that was tried.
"""

import os

# TensorFlow reads both when it is imported, here or in the processes that
# this one starts. Without oneDNN a step takes four times as long.
os.environ['TF_ENABLE_ONEDNN_OPTS'] = '1'
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from collections.abc import Sequence
import dataclasses
import datetime
import importlib
import json
import math
import pathlib
import platform
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import psutil
import run_record

from mtf_unet import atomic_file
from mtf_unet import errors
from mtf_unet.benchmark import largest
from mtf_unet.benchmark import largest_table
from mtf_unet.benchmark import problem as problem_lib
from mtf_unet.benchmark import rounds as rounds_lib
from mtf_unet.benchmark import table as table_lib
from mtf_unet.benchmark import trials as trials_lib
from mtf_unet.benchmark import variants as variants_lib

# Of the memory of the machine, for what else runs on it.
_MARGIN_GB = 3

_BASE = flags.DEFINE_integer('base', 32, 'Filters of the first level.')
_SIZE = flags.DEFINE_integer('size', 64, 'Voxels along each edge.')
_STEPS = flags.DEFINE_integer('steps', 5, 'Timed steps in each process.')
_REPEATS = flags.DEFINE_integer(
    'repeats', 1, 'Rounds in which every variant runs once, in turn.')
_TRIALS = flags.DEFINE_bool(
    'trials', True, 'First try every mode of Keras and PyTorch, and keep the '
    'fastest; else take graph mode and eager mode.')
_TIMEOUT_S = flags.DEFINE_float(
    'timeout_s', 900, 'Seconds after which a process is given up.')
_OUTPUT = flags.DEFINE_string(
    'output', '', 'Folder for benchmark.md and benchmark.json.')
_VARIANT = flags.DEFINE_string(
    'variant', '', 'Run this row alone, in this process, and print its '
    'figures as one line of JSON.')
_MODE = flags.DEFINE_string('mode', '', "With --variant: the row's mode.")
_RECOMPUTE = flags.DEFINE_multi_integer(
    'recompute', [], 'Level whose activations the meshes compute again instead '
    'of keeping them; once for each level (see docs/memory.md).')
_DEEP_SUPERVISION = flags.DEFINE_integer(
    'deep_supervision', 0, 'With --variant of a mesh: coarser levels with a '
    'loss of their own.')
_PROFILE = flags.DEFINE_bool(
    'profile', False, 'With --variant of a mesh: print where time goes.')
_LARGEST = flags.DEFINE_bool(
    'largest', False, 'Find the largest cube that fits --limit_gb.')
_LIMIT_GB = flags.DEFINE_float(
    'limit_gb', None, 'With --largest: resident memory of a process in 10^9 '
    f'bytes; by default that of this machine less {_MARGIN_GB} GB.')
_GRID = flags.DEFINE_integer(
    'grid', 16, 'With --largest: edges are multiples of so many voxels.')


def _command(variant: str, mode: str, steps: int) -> list[str]:
  return _child(variant, mode, steps, _SIZE.value, _RECOMPUTE.value)


def _child(variant: str, mode: str, steps: int, size: int,
           recompute: Sequence[int]) -> list[str]:
  return [sys.executable, os.path.abspath(__file__), f'--variant={variant}',
          f'--mode={mode}', f'--base={_BASE.value}', f'--size={size}',
          f'--steps={steps}', *(f'--recompute={level}' for level in recompute)]


def _machine() -> str:
  """Describes the processor, what else ran, and the date, in one line."""
  model = 'unknown processor'
  for line in pathlib.Path('/proc/cpuinfo').read_text('utf-8').splitlines():
    if line.startswith('model name'):
      model = line.split(':', 1)[1].strip()
      break
  return (f'{model}, {os.cpu_count()} cores, Python '
          f'{platform.python_version()}, {datetime.date.today()}; load average '
          f'at the start {os.getloadavg()[0]:.2f}')


def _run_alone(problem: problem_lib.Problem) -> None:
  """Measures or profiles one variant in this process."""
  variant = variants_lib.find(_VARIANT.value)
  for flag in (_PROFILE, _DEEP_SUPERVISION):
    if flag.value and not variant.blocks:
      raise errors.InputError(
          f'--{flag.name}: got --variant={variant.name!r}, expected a mesh')
  if not _PROFILE.value:
    print(json.dumps(variants_lib.measure(problem, variant.name, _MODE.value)))
    return
  mesh_step = importlib.import_module('mtf_unet.benchmark.mesh_step')
  step = mesh_step.MeshStep(problem, *(
      arguments['spatial_split'] for arguments in variant.modes.values()))
  for _ in range(3):
    step.run()
  spent = step.profile()
  total = sum(seconds for _, seconds, _ in spent)
  print('| kernel | calls | ms | share |\n|---|---|---|---|')
  for kind, seconds, calls in spent[:20]:
    print(f'| {kind} | {calls} | {seconds * 1e3:.0f} | '
          f'{seconds / total:.1%} |')


def _check_many_flags() -> None:
  """Refuses what only one variant alone takes."""
  for flag in (_MODE, _PROFILE, _DEEP_SUPERVISION):
    if flag.value:
      raise errors.InputError(f'--{flag.name} needs --variant')


def _run_largest() -> None:
  """Finds the largest cube of each contender, or goes on to find it."""
  settings = _largest_settings()
  folder, machine = pathlib.Path(_OUTPUT.value), _machine()
  record = trials_lib.Record(folder / 'largest.json', settings,
                             run_record.describe(settings, seed=0))
  largest.search(
      record, lambda contender, size: _child(
          contender.variant.name, contender.mode, _STEPS.value, size,
          contender.recompute),
      grid=settings['grid'], limit_gb=settings['limit_gb'],
      timeout_s=_TIMEOUT_S.value, say=_say)
  text = (f'Base {_BASE.value}, batch 1, float32, Adafactor; at most '
          f'{settings["limit_gb"]:g} GB resident in a process, edges in steps '
          f'of {_GRID.value} voxels; median of {_STEPS.value} steps.\n'
          f'{machine}.\n\n{largest_table.markdown(record)}')
  print(text)
  with atomic_file.replacing(folder / 'largest.md') as stream:
    stream.write(text.encode('utf-8'))


def _largest_settings() -> dict[str, float]:
  """Checks the flags of --largest; returns what its trials depend on."""
  if not _OUTPUT.value:
    raise errors.InputError('--largest: needs --output, expected a folder')
  multiple = problem_lib.Problem().network.size_multiple
  if _GRID.value < 1 or _GRID.value % multiple:
    raise errors.InputError(
        f'--grid: got {_GRID.value}, expected a multiple of {multiple}')
  limit_gb = _LIMIT_GB.value
  if limit_gb is None:
    limit_gb = round(psutil.virtual_memory().total / 1e9 - _MARGIN_GB, 1)
  if not 0 < limit_gb < math.inf:
    raise errors.InputError(
        f'--limit_gb: got {limit_gb:g}, expected a positive number')
  return {'base': _BASE.value, 'grid': _GRID.value, 'limit_gb': limit_gb,
          'steps': _STEPS.value, 'timeout_s': _TIMEOUT_S.value}


def _say(line: str) -> None:
  print(line, file=sys.stderr, flush=True)


def _write(folder: str, table: list[table_lib.Row], text: str, machine: str,
           rounds: list) -> None:
  folder = pathlib.Path(folder)
  with atomic_file.replacing(folder / 'benchmark.md') as stream:
    stream.write(text.encode('utf-8'))
  atomic_file.write_json(folder / 'benchmark.json', {
      'machine': machine, 'base': _BASE.value, 'size': _SIZE.value,
      'steps': _STEPS.value, 'repeats': _REPEATS.value,
      'rows': [dataclasses.asdict(row) | {'verdicts': row.verdicts()}
               for row in table], 'rounds': rounds,
      # The weights of the timed network are random and decide nothing.
      'run': run_record.describe(
          {'base': _BASE.value, 'size': _SIZE.value, 'steps': _STEPS.value,
           'repeats': _REPEATS.value, 'trials': _TRIALS.value,
           'recompute': _RECOMPUTE.value}, seed=0)})


def main() -> None:
  """Runs one variant, all of them, or finds the largest cubes."""
  problem = problem_lib.Problem(
      _BASE.value, _SIZE.value, _STEPS.value,
      recompute=tuple(_RECOMPUTE.value),
      deep_supervision=_DEEP_SUPERVISION.value)
  if _VARIANT.value:
    _run_alone(problem)
    return
  _check_many_flags()
  if _LARGEST.value:
    _run_largest()
    return
  if _REPEATS.value < 1:
    raise errors.InputError(
        f'--repeats: got {_REPEATS.value}, expected 1 or more')
  problem.check_split((2, 2, 2))
  machine = _machine()
  modes = rounds_lib.fastest_modes(
      _command, _TIMEOUT_S.value, _say) if _TRIALS.value else {}
  rounds = rounds_lib.run_rounds(_command, _STEPS.value, _REPEATS.value, modes,
                                 _TIMEOUT_S.value, _say)
  table = table_lib.rows(rounds)
  text = '\n'.join([
      f'Base {_BASE.value}, {_SIZE.value}^3, batch 1, float32, Adafactor; '
      f'median of {_STEPS.value} steps, {_REPEATS.value} rounds.',
      f'{machine}.', '', table_lib.markdown(table),
      table_lib.keras_to_torch(table)])
  print(text)
  if _OUTPUT.value:
    _write(_OUTPUT.value, table, text, machine, rounds)
  if any(row.note.startswith('failed') for row in table):
    sys.exit(1)


if __name__ == '__main__':
  command_line.run(main)
