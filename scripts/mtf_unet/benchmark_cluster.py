"""Times one UNet training step in one process and in several, cut or whole.

  python scripts/mtf_unet/benchmark_cluster.py --size=128 --base=16 \
      --repeats=3 --output=runs/benchmark_cluster

prints seconds per step, peak memory of each process above idle, and the bytes
that blocks exchange: the same volume as 1, 2, 4 and 8 blocks in one process,
and as one block in each of --workers processes on the loopback address. It
writes the table to OUTPUT/cluster.md and all figures to OUTPUT/cluster.json.
Every row is measured in fresh processes; all rows run in turn.
"""

import os

# TensorFlow reads both when it is imported, here or in the processes that
# this one starts. Without oneDNN a step takes four times as long.
os.environ['TF_ENABLE_ONEDNN_OPTS'] = '1'
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('GRPC_VERBOSITY', 'NONE')

import datetime
import json
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line

from mtf_unet import atomic_file
from mtf_unet import errors
from mtf_unet.benchmark import problem as problem_lib
from mtf_unet.benchmark import process_measurement
from mtf_unet.benchmark import process_rows
from mtf_unet.benchmark import process_table
from mtf_unet.benchmark import rounds as rounds_lib

_BASE = flags.DEFINE_integer('base', 16, 'Filters of the first level.')
_SIZE = flags.DEFINE_integer('size', 64, 'Voxels along each edge.')
_STEPS = flags.DEFINE_integer('steps', 3, 'Timed steps in each process.')
_REPEATS = flags.DEFINE_integer(
    'repeats', 1, 'Rounds in which every row is measured once, in turn.')
_WORKERS = flags.DEFINE_list(
    'workers', ['2', '4'], 'Numbers of processes: out of 2, 4, 8.')
_TIMEOUT_S = flags.DEFINE_float(
    'timeout_s', 1800, 'Seconds after which a row is given up.')
_OUTPUT = flags.DEFINE_string(
    'output', '', 'Folder for cluster.md and cluster.json.')
_ROW = flags.DEFINE_string(
    'row', '', 'Measure this row alone, and print its figures as one line of '
    'JSON.')


def _rows() -> list[process_rows.Row]:
  known = [str(count) for count in process_rows.SPLITS if count > 1]
  for text in _WORKERS.value:
    if text not in known:
      raise errors.InputError(
          f'--workers: got {text!r}, expected numbers out of '
          f'{", ".join(known)}')
  return process_rows.rows(list(map(int, _WORKERS.value)))


def _find(rows: list[process_rows.Row], name: str) -> process_rows.Row:
  for row in rows:
    if row.name == name:
      return row
  raise errors.InputError(
      f'--row: got {name!r}, expected one of '
      f'{"; ".join(row.name for row in rows)}')


def _worker_command(addresses: str, task: int) -> list[str]:
  script = pathlib.Path(__file__).absolute().with_name('run_worker.py')
  return [sys.executable, str(script), f'--cluster={addresses}',
          f'--task={task}']


def _child(row: process_rows.Row) -> list[str]:
  return [sys.executable, os.path.abspath(__file__), f'--row={row.name}',
          f'--workers={",".join(_WORKERS.value)}', f'--base={_BASE.value}',
          f'--size={_SIZE.value}', f'--steps={_STEPS.value}']


def _rounds(rows: list[process_rows.Row]) -> list[dict]:
  """Measures every row in every round and says so."""
  rounds = []
  for number in range(1, _REPEATS.value + 1):
    rounds.append({})
    for row in rows:
      report = rounds_lib.run_child(_child(row), _TIMEOUT_S.value)
      rounds[-1][row.name] = report
      said = report.get(
          'note') or f'{rounds_lib.seconds_per_step(report):.3f} s per step'
      print(f'round {number} of {_REPEATS.value}: {row.name}: {said}',
            file=sys.stderr, flush=True)
  return rounds


def main() -> None:
  """Measures one row, or all of them into a table."""
  problem = problem_lib.Problem(_BASE.value, _SIZE.value, _STEPS.value)
  rows = _rows()
  if _ROW.value:
    print(json.dumps(process_measurement.measure(
        problem, _find(rows, _ROW.value), _worker_command)))
    return
  if _REPEATS.value < 1:
    raise errors.InputError(
        f'--repeats: got {_REPEATS.value}, expected 1 or more')
  problem.check_split(max(process_rows.SPLITS.values()))
  load = os.getloadavg()[0]
  rounds = _rounds(rows)
  text = (f'Base {_BASE.value}, {_SIZE.value}^3, batch 1, float32, Adafactor; '
          f'median of {_STEPS.value} steps, {_REPEATS.value} rounds; '
          f'{os.cpu_count()} cores, {datetime.date.today()}, load average at '
          f'the start {load:.2f}.\n\n' + process_table.markdown(rows, rounds))
  print(text)
  if _OUTPUT.value:
    folder = pathlib.Path(_OUTPUT.value)
    with atomic_file.replacing(folder / 'cluster.md') as stream:
      stream.write(text.encode('utf-8'))
    atomic_file.write_json(folder / 'cluster.json', {
        'base': _BASE.value, 'size': _SIZE.value, 'steps': _STEPS.value,
        'load': load, 'rounds': rounds})
  if any('note' in report for reports in rounds for report in reports.values()):
    sys.exit(1)


if __name__ == '__main__':
  command_line.run(main)
