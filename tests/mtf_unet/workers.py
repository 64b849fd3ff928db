"""Worker processes for the tests, on free ports of the loopback address."""

import contextlib
import socket
import subprocess
import sys

from tests.mtf_unet import user_environment

SCRIPT = user_environment.ROOT / 'scripts' / 'mtf_unet' / 'run_worker.py'


def free_ports(count):
  """Ports that were free a moment ago; all different."""
  with contextlib.ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for one in sockets:
      one.bind(('127.0.0.1', 0))
    return [one.getsockname()[1] for one in sockets]


def start(cluster, task, *flags):
  """Starts the worker of one task as a user does."""
  return subprocess.Popen(
      [sys.executable, str(SCRIPT), f'--cluster={cluster}', f'--task={task}',
       *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      env=user_environment.variables())


def stop(processes):
  for process in processes:
    process.kill()
  for process in processes:
    process.communicate()


@contextlib.contextmanager
def running(count, *flags):
  """Yields --cluster and the processes of `count` workers."""
  cluster = ','.join(f'127.0.0.1:{port}' for port in free_ports(count))
  processes = [start(cluster, task, *flags) for task in range(count)]
  try:
    yield cluster, processes
  finally:
    stop(processes)
