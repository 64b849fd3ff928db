"""Measures one step in one process, or in workers on the loopback address."""

from collections.abc import Callable
import contextlib
import math
import pathlib
import subprocess
import time

import psutil
import tensorflow as tf

from mtf_unet import cluster
from mtf_unet import cluster_session
from mtf_unet import free_ports
from mtf_unet.benchmark import block_step
from mtf_unet.benchmark import measurement
from mtf_unet.benchmark import mesh_step
from mtf_unet.benchmark import problem as problem_lib
from mtf_unet.benchmark import process_rows

_MIB = 2 ** 20
# Workers start together, perhaps on a machine that has other work.
_WAIT_S = 600.0
# From --cluster and --task to the command line of a worker.
WorkerCommand = Callable[[str, int], list[str]]


@contextlib.contextmanager
def _workers(count, command):
  """Runs workers; yields their numbers as processes and the connection."""
  with free_ports.held(count) as ports:
    addresses = ','.join(f'127.0.0.1:{port}' for port in ports)
    children = [subprocess.Popen(command(addresses, task),
                                 stdout=subprocess.DEVNULL)
                for task in range(count)]
    try:
      yield ([child.pid for child in children], cluster_session.Cluster(
          cluster.parse(addresses), report=lambda line: None,
          wait_s=_WAIT_S, silence_s=_WAIT_S))
    finally:
      for child in children:
        child.terminate()
      for child in children:
        child.wait()


def _warm_up_workers(where, count):
  """Has every worker run a convolution, so that its threads exist."""
  with tf.Graph().as_default():
    results = []
    for task in range(count):
      with tf.device(cluster.device_name(task)):
        x = tf.random.normal([1, 8, 8, 8, 4])
        results.append(tf.reduce_sum(tf.nn.conv3d(
            x, tf.ones([3, 3, 3, 4, 4]), [1] * 5, 'SAME')))
    with tf.compat.v1.Session(where.target,
                              config=where.session_config) as session:
      session.run(results)


def _loopback_bytes():
  """Bytes that the loopback interface has received, of all programs."""
  for line in pathlib.Path('/proc/net/dev').read_text('ascii').splitlines():
    name, _, counters = line.partition(':')
    if name.strip() == 'lo':
      return int(counters.split()[0])
  return 0


def _cpu_seconds(processes):
  times = [psutil.Process(None if process == 'self' else process).cpu_times()
           for process in processes]
  return sum(each.user + each.system for each in times)


def measure(problem: problem_lib.Problem, row: process_rows.Row,
            command: WorkerCommand) -> dict:
  """Measures one row; call it in a fresh process.

  Args:
    problem: what is computed.
    row: how.
    command: starts a worker.

  Returns:
    'seconds' and 'cpu_seconds' (of all processes) of each step, 'peak_mib' of
    each process that computes above its idle resident set, 'client_mib' of
    the client's (0 with one process), 'exchanged_mib' between devices in a
    step, 'loopback_mib' as the system counted it, 'loss' and 'parameters'.

  Raises:
    ArithmeticError: where the loss is not finite.
  """
  mesh_step.warm_up()
  if not row.workers:
    return _measured(problem, row, None, ['self'])
  with _workers(row.workers, command) as (processes, where):
    _warm_up_workers(where, row.workers)
    reports = []
    where.run(lambda: reports.append(
        _measured(problem, row, where, ['self', *processes])))
    return reports[0]


def _measured(problem, row, where, processes):
  idle = []
  for process in processes:
    measurement.forget_peak(process)
    idle.append(measurement.resident_mib(process))
  step = block_step.BlockStep(problem, row.split, where)
  for _ in range(measurement.WARM_UP_STEPS):
    step.run()
  seconds, cpu_seconds, received = [], [], _loopback_bytes()
  for _ in range(problem.steps):
    start, cpu_start = time.perf_counter(), _cpu_seconds(processes)
    loss = step.run()
    seconds.append(time.perf_counter() - start)
    cpu_seconds.append(_cpu_seconds(processes) - cpu_start)
  received = _loopback_bytes() - received
  if not math.isfinite(loss):
    raise ArithmeticError(f'the loss is {loss}, expected a finite number')
  peaks = [measurement.peak_resident_mib(process) - before
           for process, before in zip(processes, idle)]
  exchanged = step.exchanged_bytes()
  step.close()
  client = peaks.pop(0) if row.workers else 0.0
  return {'seconds': seconds, 'cpu_seconds': cpu_seconds, 'peak_mib': peaks,
          'client_mib': client, 'exchanged_mib': exchanged / _MIB,
          'loopback_mib': received / problem.steps / _MIB if row.workers else 0,
          'loss': loss, 'parameters': step.parameters}
