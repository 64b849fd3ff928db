"""What a worker's answers say, from a server that answers as told."""

from concurrent import futures
import contextlib
import threading
import time

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.framework import device_attributes_pb2

from mtf_unet import cluster
from mtf_unet import errors
from mtf_unet import worker_status


def _answer(incarnation=1, kinds=('CPU', 'CPU')):
  devices = [device_attributes_pb2.DeviceAttributes(
      name=f'/job:server/replica:0/task:0/device:{kind}:{i}', device_type=kind,
      incarnation=incarnation) for i, kind in enumerate(kinds)]
  return tf.train.BytesList(
      value=[device.SerializeToString() for device in devices]
  ).SerializeToString()


class _Worker:
  """Answers as TensorFlow's worker does, with what `answer` returns."""

  def __init__(self):
    self.answer = _answer
    self._server = grpc.server(futures.ThreadPoolExecutor(2))
    self._server.add_generic_rpc_handlers([
        grpc.method_handlers_generic_handler('tensorflow.WorkerService', {
            'GetStatus': grpc.unary_unary_rpc_method_handler(
                lambda request, context: self.answer())})])
    self.address = cluster.Address(
        '127.0.0.1', self._server.add_insecure_port('127.0.0.1:0'))
    self._server.start()

  def stop(self):
    self._server.stop(None).wait()


@pytest.fixture(name='worker')
def _worker():
  worker = _Worker()
  yield worker
  worker.stop()


def _watch(worker, **keywords):
  return contextlib.closing(worker_status.Watch(
      [worker.address], report=lambda line: None, **keywords))


def _lost_within(watch, seconds):
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    lost = watch.lost()
    if lost:
      return lost
    time.sleep(0.05)
  return ''


def test_gpus_go_before_cpus():
  status = worker_status.Status.parse(_answer(7, ('CPU', 'GPU', 'GPU')))
  assert status.devices == (('GPU', 1), ('GPU', 2))
  assert status.incarnation == 7


def test_devices_have_the_names_of_the_session(worker):
  with _watch(worker) as watch:
    assert watch.devices == [[cluster.device_name(0, 'CPU', 0),
                              cluster.device_name(0, 'CPU', 1)]]
    assert _lost_within(watch, 0.3) == ''


def test_a_worker_that_ended_is_lost(worker):
  with _watch(worker) as watch:
    worker.stop()
    assert _lost_within(watch, 20) == (
        f'worker {worker.address} (task 0) does not listen any more')


def test_a_worker_that_was_started_anew_is_lost(worker):
  with _watch(worker) as watch:
    worker.answer = lambda: _answer(incarnation=2)
    assert _lost_within(watch, 20).endswith('(task 0) was started anew')


def test_a_worker_that_says_nothing_is_lost(worker):
  with _watch(worker, silence_s=0.5) as watch:
    answer_now = threading.Event()
    worker.answer = lambda: answer_now.wait() and _answer()
    assert _lost_within(watch, 20).endswith('has not answered for 0 s')
    answer_now.set()


def test_asked_together_all_that_answer_are_there(worker):
  with _watch(worker) as watch:
    assert watch.ask_all() == ''


def test_asked_together_a_worker_that_ended_is_lost(worker):
  with _watch(worker) as watch:
    worker.stop()
    assert watch.ask_all() == (
        f'worker {worker.address} (task 0) does not listen any more')


def test_asked_together_an_older_answer_does_not_count(worker):
  with _watch(worker) as watch:
    answered = threading.Event()
    worker.answer = lambda: answered.set() or _answer()
    assert watch.lost() == ''
    assert answered.wait(60)
    worker.answer = lambda: _answer(incarnation=2)
    assert watch.ask_all().endswith('(task 0) was started anew')


def test_a_pause_between_looks_is_no_silence(worker):
  with _watch(worker, silence_s=0.5) as watch:
    time.sleep(1.0)
    assert _lost_within(watch, 0.3) == ''


def test_a_worker_that_is_not_there_is_waited_for_and_told():
  lines = []
  with pytest.raises(errors.InputError, match=r'no worker at 127.0.0.1:1 '
                     r'\(task 0\), expected scripts/mtf_unet/run_worker.py'):
    worker_status.Watch(cluster.parse('127.0.0.1:1'), wait_s=1.2,
                        report=lines.append)
  assert lines == ['Waiting for 127.0.0.1:1 (task 0)']
