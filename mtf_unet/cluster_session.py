"""Runs graphs on a cluster, and stops in time when a worker is lost.

The training script is the cluster's client. It keeps TensorFlow's master in its
own process, in a server that workers reach: a worker takes what is fed to its
devices from there, and nobody else's, and what is fetched comes back the same
way. A session tells the workers who takes part in it, so that they need not
know the client before; its variables are freed with it.
"""

from collections.abc import Callable
from collections.abc import Sequence
import ctypes
import threading

import tensorflow as tf

from mtf_unet import cluster
from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import listening
from mtf_unet import worker_status

_CLIENT_JOB = 'client'
_LOOPBACK = '127.0.0.1'
_SECONDS_BETWEEN_LOOKS = 0.5
# What TensorFlow gets to end by itself once a worker is lost.
_GRACE_S = 5.0

# Where everything lies that has no other place: master weights, summaries.
HOME = cluster.device_name(0)
# Where checkpoints are written.
CLIENT_DEVICE = f'/job:{_CLIENT_JOB}/replica:0/task:0/device:CPU:0'


class Cluster:
  """The workers as one machine.

  Args:
    addresses: of the workers, by task.
    client: where the workers reach this process; None where all of them are
      on this machine, for a free port of the loopback address.
    wait_s: seconds that the workers may take to be there.
    silence_s: seconds after which a worker that says nothing is lost.
    report: receives one-line messages for the user.

  Raises:
    InputError: for workers elsewhere without a client's address, an address
      that is not to be had, or naming the workers that are not there.
  """

  def __init__(self, addresses: Sequence[cluster.Address],
               client: cluster.Address | None = None, *, wait_s: float = 60.0,
               silence_s: float = worker_status.SILENCE_S,
               report: Callable[[str], None] = print):
    self._addresses = tuple(addresses)
    host, port = (client.host, client.port) if client else (_LOOPBACK, 0)
    self._check_reachable(client)
    self._watch = worker_status.Watch(addresses, wait_s=wait_s,
                                      silence_s=silence_s, report=report)
    self._server = start_server(host, port, report)

  def _check_reachable(self, client):
    for address in self._addresses:
      if client is None and not cluster.is_loopback(
          cluster.ipv4(address.host)):
        raise errors.InputError(
            f'--cluster: {address} is another machine, expected also '
            '--client=host:port, at which the workers reach this one')

  @property
  def target(self) -> str:
    """What a session runs on."""
    return self._server.target

  @property
  def session_config(self) -> tf.compat.v1.ConfigProto:
    """What a session is told: who takes part in it."""
    jobs = {_CLIENT_JOB: [self.target.removeprefix('grpc://')],
            cluster.JOB: list(map(str, self._addresses))}
    return tf.compat.v1.ConfigProto(
        allow_soft_placement=True,
        cluster_def=tf.train.ClusterSpec(jobs).as_cluster_def())

  def devices(self, partition: layout.Partition) -> list[str]:
    """Spreads a mesh over the workers; see `cluster.mesh_devices`."""
    return cluster.mesh_devices(partition, self._watch.devices)

  def run(self, function: Callable[[], None]) -> None:
    """Calls a function that uses the cluster, and looks after the workers.

    The function runs in a thread of its own. A session that waits for a worker
    that is lost cannot be interrupted; then the thread is left behind, and
    ends with the process. Ctrl-C ends the thread as it would end a job without
    workers, once the step that runs is done.

    Raises:
      InputError: if a worker is lost.
      KeyboardInterrupt: on Ctrl-C, when the function has ended; a second one
        does not wait for it.
      BaseException: what the function raises.
    """
    raised, lost, over = [], [], threading.Event()
    job = threading.Thread(target=_keeping, args=(function, raised, over),
                           daemon=True)
    # Ctrl-C comes in this thread, and would break into a question half asked.
    watcher = threading.Thread(target=self._keep_watch, args=(lost, over),
                               daemon=True)
    try:
      job.start()
      watcher.start()
      _wait(job, over)
    except KeyboardInterrupt:
      _interrupt(job)
      _wait(job, over)
      raise
    over.set()
    watcher.join()
    if lost:
      job.join(_GRACE_S)
    self._explain(lost[0] if lost else '', raised[0] if raised else None)

  def _keep_watch(self, lost, over):
    """Looks after the workers until something is over; keeps who is lost."""
    while not over.wait(_SECONDS_BETWEEN_LOOKS):
      reason = self._watch.lost()
      if reason:
        lost.append(reason)
        over.set()

  def _explain(self, lost, error):
    """Raises what ended a run, if anything did."""
    cause = _of_tensorflow(error)
    # A connection may break before its worker is missed.
    lost = lost or (self._watch.ask_all() if cause else '')
    if lost:
      raise errors.InputError(
          f'--cluster: {lost}; start it again, then the same command resumes '
          'from the last checkpoint') from error
    if isinstance(cause, tf.errors.AbortedError):
      # A worker clears what a client left there that is gone; a second one
      # looks to it like the first one, started again.
      raise errors.InputError(
          '--cluster: the workers have begun another job, expected one at a '
          'time; after it the same command resumes from the last checkpoint'
      ) from error
    if error is not None:
      raise error


def start_server(host: str, port: int, report: Callable[[str], None]
                 ) -> tf.distribute.Server:
  """Starts this process's own server, with the master in it.

  Args:
    host: at which the workers reach it, and nobody reaches it elsewhere.
    port: TCP port, likewise; 0 for a free one.
    report: receives a warning where others can reach it.

  Raises:
    InputError: if it cannot listen there.
  """
  ip = cluster.ipv4(host)
  listening.check_free(port, ip)
  # The client computes nothing that would be worth a GPU.
  server = tf.distribute.Server(
      tf.train.ClusterSpec({cluster.SERVER_JOB: [f'{host}:{port}']}),
      job_name=cluster.SERVER_JOB, task_index=0, start=False,
      config=tf.compat.v1.ConfigProto(device_count={'GPU': 0}))
  port = int(server.target.rpartition(':')[2])
  listening.restrict(port, ip)
  server.start()
  if not cluster.is_loopback(ip):
    report(listening.warning(ip, port))
  return server


def _keeping(function, raised, over):
  """Calls a function, keeps what it raises and tells when it is over."""
  try:
    function()
  except BaseException as error:
    raised.append(error)
  finally:
    over.set()


def _wait(thread, over):
  """Waits for an event, or the end of a thread that could not tell it."""
  while not over.wait(_SECONDS_BETWEEN_LOOKS) and thread.is_alive():
    pass


def _interrupt(thread):
  """Raises KeyboardInterrupt in a thread as soon as it is back in Python."""
  ctypes.pythonapi.PyThreadState_SetAsyncExc(
      # 0, no thread, where it was stopped while it started.
      ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt))


def _of_tensorflow(error):
  """The error of TensorFlow that an error is or comes from, or None."""
  for candidate in (error, getattr(error, '__cause__', None)):
    if isinstance(candidate, tf.errors.OpError):
      return candidate
  return None
