"""Asks the workers of a cluster how they are, and tells which one is lost.

TensorFlow's session waits for a worker that does not answer, forever where the
machine is gone. So each worker is asked over a channel of our own, through the
call that TensorFlow's servers have for it (GetStatus of its worker_service).
The answer names the worker's devices with a number that is drawn anew whenever
the process starts.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import time

import grpc
import tensorflow as tf
from tensorflow.core.framework import device_attributes_pb2

from mtf_unet import cluster
from mtf_unet import errors

_METHOD = '/tensorflow.WorkerService/GetStatus'
_OPTIONS = (('grpc.enable_http_proxy', 0), ('grpc.max_reconnect_backoff_ms',
                                            1000))
# A worker whose process has ended refuses at once, this many times in turn.
_REFUSALS = 2
# One that is there and says nothing, its machine gone or stopped, is given
# time: on a crowded machine answers come late.
SILENCE_S = 30.0
# While an answer is waited for.
_SECONDS_BETWEEN_POLLS = 0.05


@dataclasses.dataclass(frozen=True)
class Status:
  """A worker's answer.

  Attributes:
    devices: kind ('GPU', or 'CPU' where it has none) and number of each.
    incarnation: another number for each start of the process.
  """
  devices: tuple[tuple[str, int], ...]
  incarnation: int

  @classmethod
  def parse(cls, answer: bytes) -> 'Status':
    """Reads a GetStatusResponse: `repeated DeviceAttributes = 1`."""
    # TensorFlow's wheel lacks that message; a list of bytes is coded alike.
    found = [device_attributes_pb2.DeviceAttributes.FromString(item)
             for item in tf.train.BytesList.FromString(answer).value]
    gpus, cpus = [[device for device in found if device.device_type == kind]
                  for kind in ('GPU', 'CPU')]
    return cls(
        tuple((device.device_type, int(device.name.rpartition(':')[2]))
              for device in gpus or cpus), cpus[0].incarnation)


class _Line:
  """The connection to one worker."""

  def __init__(self, address, task):
    self.name = f'{address} (task {task})'
    self._channel = grpc.insecure_channel(str(address), options=_OPTIONS)
    self._ask = self._channel.unary_unary(
        _METHOD, request_serializer=None, response_deserializer=Status.parse)
    self._call, self._refusals = None, 0
    self.status, self.answered = None, False

  def forget(self):
    """Has the next question asked anew."""
    self._call, self.answered = None, False

  def poll(self, silence_s) -> str:
    """Asks, or looks for the answer; says what is wrong, or ''."""
    if self._call is None:
      self._call = self._ask.future(b'', timeout=silence_s)
    if not self._call.done():
      return ''
    call, self._call = self._call, None
    if call.code() is grpc.StatusCode.OK:
      return self._answered(call.result())
    if call.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
      return f'has not answered for {silence_s:.0f} s'
    self._refusals += 1
    return ('does not listen any more' if self._refusals >= _REFUSALS
            else '')

  def _answered(self, status):
    self._refusals, self.answered = 0, True
    if self.status is None:
      self.status = status
    if status.incarnation != self.status.incarnation:
      return 'was started anew'
    return ''

  def close(self):
    self._channel.close()


class Watch:
  """Knows the workers from their first answer on.

  Args:
    addresses: of the workers.
    wait_s: seconds that they may take to answer for the first time.
    silence_s: seconds after which a worker that says nothing is lost.
    report: receives a line about what is waited for.

  Raises:
    InputError: naming the workers that do not answer.
  """

  def __init__(self, addresses: Sequence[cluster.Address], *,
               wait_s: float = 60.0, silence_s: float = SILENCE_S,
               report: Callable[[str], None] = print):
    self._silence_s = silence_s
    self._lines = [_Line(address, task)
                   for task, address in enumerate(addresses)]
    start = time.monotonic()
    told = False
    while waiting := [line for line in self._lines if line.status is None]:
      names = ', '.join(line.name for line in waiting)
      elapsed = time.monotonic() - start
      if elapsed > wait_s:
        raise errors.InputError(
            f'--cluster: no worker at {names}, expected '
            'scripts/mtf_unet/run_worker.py to run there')
      if elapsed > 1.0 and not told:
        told = True
        report(f'Waiting for {names}')
      for line in waiting:
        line.poll(wait_s)
      time.sleep(_SECONDS_BETWEEN_POLLS)

  @property
  def devices(self) -> list[list[str]]:
    """The names of each worker's devices in a session."""
    return [[cluster.device_name(task, *device)
             for device in line.status.devices]
            for task, line in enumerate(self._lines)]

  def lost(self) -> str:
    """Names a worker that is lost and says why, or returns ''.

    Never waits; call it about once a second.
    """
    for line in self._lines:
      reason = line.poll(self._silence_s)
      if reason:
        return f'worker {line.name} {reason}'
    return ''

  def ask_all(self) -> str:
    """Asks every worker anew and waits for the answers; says what `lost` says.

    Answers on their way may be older than what made the caller ask. Takes at
    most as long as a worker may be silent.
    """
    for line in self._lines:
      line.forget()
    while not all(line.answered for line in self._lines):
      lost = self.lost()
      if lost:
        return lost
      time.sleep(_SECONDS_BETWEEN_POLLS)
    return ''

  def close(self) -> None:
    """Closes the connections."""
    for line in self._lines:
      line.close()
