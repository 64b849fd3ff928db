"""A worker: TensorFlow's gRPC server, and a line about what it does.

It computes what the training script sends; data, weights and checkpoints of
its own it has none. It does not ask who sends: see docs/cluster.md.
"""

from collections.abc import Callable
from collections.abc import Sequence
import ctypes
import dataclasses
import threading

import psutil
import tensorflow as tf

from mtf_unet import cluster
from mtf_unet import errors
from mtf_unet import listening

_GIB = 2 ** 30
# Less than this share of one core is housekeeping.
_IDLE_PERCENT = 5.0
# Of mallopt: blocks from this size on are mapped one by one.
_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 2 ** 20


@dataclasses.dataclass(frozen=True)
class Worker:
  """What a worker is told.

  Attributes:
    addresses: of all workers.
    task: its own number among them.
    bind: IPv4 address that it serves; '' for that of its own entry.
    cpu_devices: virtual CPU devices; not needed for several blocks on one
      worker, which share its devices.
  """
  addresses: Sequence[cluster.Address]
  task: int
  bind: str = ''
  cpu_devices: int = 1

  def __post_init__(self):
    cluster.check_task(self.addresses, self.task)
    if self.cpu_devices < 1:
      raise errors.InputError(
          f'--cpu_devices: got {self.cpu_devices}, expected 1 or more')

  @property
  def ip(self) -> str:
    """The address that is served."""
    return cluster.ipv4(self.bind or self.addresses[self.task].host)


def start(worker: Worker) -> tf.distribute.Server:
  """Starts the server; it runs until the process ends.

  Raises:
    InputError: if it cannot listen there.
  """
  address = worker.addresses[worker.task]
  listening.check_free(address.port, worker.ip)
  options = tf.compat.v1.ConfigProto(device_count={'CPU': worker.cpu_devices})
  # A worker on the machine of another program leaves it GPU memory.
  options.gpu_options.allow_growth = True
  try:
    server = tf.distribute.Server(
        tf.train.ClusterSpec(
            {cluster.SERVER_JOB: list(map(str, worker.addresses))}),
        job_name=cluster.SERVER_JOB, task_index=worker.task, config=options,
        start=False)
  except tf.errors.OpError as error:
    raise errors.InputError(
        f'{address}: cannot be listened on ({error.message}), expected a free '
        'port') from error
  listening.restrict(address.port, worker.ip)
  server.start()
  return server


def describe(worker: Worker) -> list[str]:
  """Returns what a user is told once the worker listens."""
  gpus = len(tf.config.list_physical_devices('GPU'))
  address = worker.addresses[worker.task]
  lines = [f'Worker {worker.task} of {len(worker.addresses)} listens on '
           f'{worker.ip}:{address.port} ({worker.cpu_devices} CPU, {gpus} GPU '
           'devices)']
  if not cluster.is_loopback(worker.ip):
    lines.append(listening.warning(worker.ip, address.port))
  return lines


def give_memory_back() -> bool:
  """Has the C library return large freed blocks to the system at once.

  It otherwise keeps more and more of them for later, and the gaps between
  tensors of other sizes are lost to everybody.

  Returns:
    Whether the library can (glibc).
  """
  mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
  return mallopt is not None and bool(
      mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))


class Activity:
  """Turns processor time into a line now and then.

  Args:
    report: receives the lines.
    every: calls of `update` between lines while busy.
  """

  def __init__(self, report: Callable[[str], None], every: int = 30):
    self._report, self._every = report, every
    self._busy, self._calls = False, 0

  def update(self, percent: float, resident: int) -> None:
    """Takes the share of one core since the last call, and bytes held."""
    busy = percent >= _IDLE_PERCENT
    self._calls = self._calls + 1 if busy and self._busy else 0
    if busy and self._calls % self._every == 0:
      self._report(f'busy: {percent:.0f} % of a core, '
                   f'{resident / _GIB:.2f} GiB')
    elif self._busy and not busy:
      self._report(f'idle, {resident / _GIB:.2f} GiB')
    self._busy = busy


def serve(worker: Worker, stop: threading.Event,
          report: Callable[[str], None]) -> None:
  """Serves until `stop` is set, telling what the process does.

  Raises:
    InputError: if it cannot listen.
  """
  server = start(worker)
  for line in describe(worker):
    report(line)
  process, activity = psutil.Process(), Activity(report)
  # The first call only sets the beginning.
  process.cpu_percent()
  while not stop.wait(1.0):
    activity.update(process.cpu_percent(), process.memory_info().rss)
  report(f'Worker {worker.task} stopped')
  # The server lives as long as the name.
  del server
