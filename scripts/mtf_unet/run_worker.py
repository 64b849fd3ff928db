"""Serves one machine's devices to a training job on several machines.

  python scripts/mtf_unet/run_worker.py \
      --cluster=127.0.0.1:2222,127.0.0.1:2223 --task=0

on each machine, with its own --task; then train.py with the same --cluster.
Runs until it is stopped (Ctrl-C, SIGTERM). There is no authentication: use
loopback, tunnels or a private network (docs/cluster.md).
"""

import os

# Before TensorFlow is imported: oneDNN's convolutions are four times faster.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('GRPC_VERBOSITY', 'NONE')

import pathlib
import signal
import sys
import threading

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line

from mtf_unet import cluster
from mtf_unet import worker as worker_lib

_CLUSTER = flags.DEFINE_string(
    'cluster', None, 'All workers, host:port,host:port,...')
_TASK = flags.DEFINE_integer(
    'task', None, "This worker's place in --cluster, counted from 0.")
_BIND = flags.DEFINE_string(
    'bind', '', 'Address to serve, where it is not that of --cluster (behind '
    'a tunnel or a translated address); 0.0.0.0 for all.')
_CPU_DEVICES = flags.DEFINE_integer(
    'cpu_devices', 1, 'Virtual CPU devices of this worker.')
flags.mark_flags_as_required(['cluster', 'task'])


def _report(line: str) -> None:
  print(line, flush=True)


def main() -> None:
  """Serves until a signal ends it."""
  worker = worker_lib.Worker(cluster.parse(_CLUSTER.value), _TASK.value,
                             _BIND.value, _CPU_DEVICES.value)
  worker_lib.give_memory_back()
  stop = threading.Event()
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: stop.set())
  worker_lib.serve(worker, stop, _report)


if __name__ == '__main__':
  command_line.run(main)
