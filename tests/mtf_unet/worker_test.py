"""The worker as a user runs it."""

import platform
import signal
import socket

import pytest

from mtf_unet import cluster
from mtf_unet import errors
from mtf_unet import worker as worker_lib
from tests import script_server
from tests.mtf_unet import workers

_GIB = 2 ** 30


def test_activity_is_told_when_it_changes_and_now_and_then():
  lines = []
  activity = worker_lib.Activity(lines.append, every=3)
  for percent in (0, 150, 150, 150, 150, 1, 1):
    activity.update(percent, _GIB // 2)
  assert lines == ['busy: 150 % of a core, 0.50 GiB'] * 2 + ['idle, 0.50 GiB']


def test_a_loopback_worker_is_described_without_warning():
  worker = worker_lib.Worker(cluster.parse('127.0.0.1:22,127.0.0.1:23'), 1)
  (line,) = worker_lib.describe(worker)
  assert line == ('Worker 1 of 2 listens on 127.0.0.1:23 (1 CPU, 0 GPU '
                  'devices)')


def test_a_worker_that_others_reach_warns_in_one_line():
  worker = worker_lib.Worker(cluster.parse('127.0.0.1:22'), 0, bind='0.0.0.0')
  line = worker_lib.describe(worker)[1]
  assert line.startswith('Warning: whoever reaches 0.0.0.0:22 can run programs')
  assert '\n' not in line


def test_no_devices_are_refused():
  with pytest.raises(errors.InputError, match='--cpu_devices: got 0'):
    worker_lib.Worker(cluster.parse('127.0.0.1:22'), 0, cpu_devices=0)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='no glibc')
def test_large_blocks_go_back_to_the_system(tmp_path):
  (tmp_path / 'program.py').write_text(
      'import numpy as np\n'
      'from mtf_unet import worker\n'
      'from mtf_unet.benchmark import measurement\n'
      'assert worker.give_memory_back()\n'
      'before = measurement.resident_mib()\n'
      'held = [np.ones(2 ** 18) for _ in range(50)]\n'
      'grown = measurement.resident_mib() - before\n'
      'del held[:-1]\n'
      'print(grown, measurement.resident_mib() - before)\n')
  done = script_server.run(tmp_path / 'program.py')
  assert done.returncode == 0, done.stderr
  grown, left = map(float, done.stdout.split())
  assert grown > 90 and left < 10


def _reachable(host, port):
  try:
    socket.create_connection((host, port), timeout=0.3).close()
  except OSError:
    return False
  return True


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_worker_listens_on_its_address_alone_and_ends_cleanly(number):
  with workers.running(1) as (spec, (process,)):
    port = int(spec.rpartition(':')[2])
    assert _reachable('127.0.0.1', port)
    assert not _reachable('127.0.0.2', port)
    process.send_signal(number)
    out, err = process.communicate(timeout=600)
  assert process.returncode == 0
  assert out.splitlines()[-1] == 'Worker 0 stopped'
  assert err == ''


@pytest.mark.parametrize('flags, words', [
    (['--cluster=127.0.0.1:{port}', '--task=0'], 'cannot be listened on'),
    (['--cluster=127.0.0.1', '--task=0'], 'has no port, expected host:port'),
    (['--cluster=127.0.0.1:1', '--task=1'], '--task: got 1, expected 0 to 0'),
], ids=['port in use', 'no port', 'out of range'])
def test_wrong_flags_are_told_in_one_line(flags, words):
  with socket.create_server(('127.0.0.1', 0)) as taken:
    port = taken.getsockname()[1]
    done = script_server.run(
        workers.SCRIPT, *(flag.format(port=port) for flag in flags))
  assert done.returncode == 1
  assert done.stderr.startswith('error: ')
  assert done.stderr.count('\n') == 1
  assert words in done.stderr
