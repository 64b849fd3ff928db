"""One process against several: what is counted, and the table."""

import json
import math
import subprocess
import sys

import pytest
import tensorflow as tf

from mtf_unet.benchmark import block_step
from mtf_unet.benchmark import problem as problem_lib
from mtf_unet.benchmark import process_rows
from mtf_unet.benchmark import process_table
from tests import script_server
from tests.mtf_unet import user_environment
from tests.mtf_unet import workers

_SCRIPT = user_environment.ROOT / 'scripts/mtf_unet/benchmark_cluster.py'
_FIRST, _FOUR = process_rows.Row(1), process_rows.Row(4, 4)


def test_rows_are_named_by_processes_and_blocks():
  assert [row.name for row in process_rows.rows([4])] == [
      '1 process, 1x1x1', '1 process, 2x1x1', '1 process, 2x2x1',
      '1 process, 2x2x2', '4 processes, 2x2x1']


def test_a_tensor_that_crosses_is_counted_once_for_each_device():
  with tf.Graph().as_default():
    with tf.device('/device:CPU:0'):
      x = tf.zeros([10]) + 1.0
      tf.zeros([1000])
    with tf.device('/device:CPU:1'):
      y = x + x
      z = y * x
    with tf.device('/device:CPU:2'):
      w = x + 1.0
    fetches = [tf.group(z, w)]
    assert block_step.crossing_bytes(fetches) == 2 * 10 * 4


def _report(seconds, peaks):
  return {'seconds': [seconds] * 3, 'cpu_seconds': [seconds] * 3,
          'peak_mib': peaks, 'client_mib': 5.0, 'exchanged_mib': 1.0,
          'loopback_mib': 2.0, 'loss': 0.5}


def _round(seconds, peaks):
  return {_FIRST.name: _report(2.0, [100.0]),
          _FOUR.name: _report(seconds, peaks)}


def test_ratios_are_taken_within_rounds_and_held_against_what_was_wanted():
  text = process_table.markdown([_FIRST, _FOUR], [
      _round(3.0, [20.0, 40.0]), _round(2.0, [20.0, 25.0]),
      _round(2.2, [20.0, 29.0])])
  row = [cell.strip() for cell in text.splitlines()[-1].split('|')]
  assert row[1:7] == ['4 processes, 2x2x1', '2.200', '1.10', '2.200', '29',
                      '0.29']
  assert row[-2] == 'time <= 1.25: met; memory <= 0.3: met'


def test_a_row_that_failed_says_why():
  text = process_table.markdown([_FIRST, _FOUR], [
      _round(3.0, [1.0]) | {_FOUR.name: {'note': 'failed: no memory'}}])
  assert 'failed: no memory' in text.splitlines()[-1]


@pytest.mark.parametrize('flags, words', [
    (['--workers=3'], "--workers: got '3', expected numbers out of 2, 4, 8"),
    (['--row=none'], "--row: got 'none', expected one of 1 process, 1x1x1;"),
], ids=['workers', 'row'])
def test_wrong_flags_are_told_in_one_line(flags, words):
  done = script_server.run(_SCRIPT, *flags)
  assert done.returncode == 1
  assert done.stderr.startswith(f'error: {words}')
  assert done.stderr.count('\n') == 1


@pytest.mark.slow
@workers.BY_HAND_IN_CI
def test_two_workers_compute_the_loss_of_one_process():
  problem = problem_lib.Problem(base_filters=2, size=16, steps=1)
  done = subprocess.run(
      [sys.executable, str(_SCRIPT), '--row=2 processes, 2x1x1', '--workers=2',
       '--base=2', '--size=16', '--steps=1'], capture_output=True, text=True,
      check=False, env=user_environment.variables())
  assert done.returncode == 0, done.stderr
  report = json.loads(done.stdout.splitlines()[-1])
  alone = block_step.BlockStep(problem, (2, 1, 1))
  expected = [alone.run() for _ in range(3)][-1]
  assert report['loss'] == pytest.approx(expected, rel=1e-4)
  assert report['parameters'] == alone.parameters
  assert len(report['peak_mib']) == 2
  assert math.isfinite(report['exchanged_mib']) and report['exchanged_mib'] > 0
