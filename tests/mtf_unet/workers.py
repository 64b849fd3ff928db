"""Worker processes for the tests, on free ports of the loopback address."""

import contextlib
import os
import subprocess
import sys

import pytest

from mtf_unet import free_ports
from tests.mtf_unet import user_environment

SCRIPT = user_environment.ROOT / 'scripts' / 'mtf_unet' / 'run_worker.py'

# TensorFlow's gRPC once aborted such a client by itself, in some thirty runs
# under load ("Epoll1Poller ... Bad file descriptor"): nothing that a test of
# this package can wait for, and a landing should not hang on it.
BY_HAND_IN_CI = pytest.mark.skipif(
    'CI' in os.environ, reason='clients of several processes, which '
    "TensorFlow's gRPC aborted once; run it by hand")


def start(cluster, task, *flags):
  """Starts the worker of one task as a user does."""
  return subprocess.Popen(
      [sys.executable, str(SCRIPT), f'--cluster={cluster}', f'--task={task}',
       *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      env=user_environment.variables())


def wait_until_it_listens(worker):
  """Returns the line in which a worker says so."""
  line = worker.stdout.readline()
  # Without one the worker has ended.
  assert 'listens on' in line, worker.communicate()
  return line


def stop(processes):
  for process in processes:
    process.kill()
  for process in processes:
    process.communicate()


@contextlib.contextmanager
def running(count, *flags):
  """Yields --cluster and the processes of `count` workers that listen."""
  with free_ports.held(count) as ports:
    cluster = ','.join(f'127.0.0.1:{port}' for port in ports)
    processes = [start(cluster, task, *flags) for task in range(count)]
    try:
      for process in processes:
        wait_until_it_listens(process)
      yield cluster, processes
    finally:
      stop(processes)
