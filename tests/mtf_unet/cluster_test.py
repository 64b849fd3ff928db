"""Cluster specs, and how a mesh is spread over workers."""

import pytest

from mtf_unet import cluster
from mtf_unet import errors
from mtf_unet import layout
from tests.mtf_unet import lowered


def _spread(devices_each, *split, **keywords):
  partition = layout.partition(lowered.split(*split, **keywords))
  names = [[cluster.device_name(task, 'CPU', i) for i in range(count)]
           for task, count in enumerate(devices_each)]
  return [(device.split('task:')[1][0], device[-1])
          for device in cluster.mesh_devices(partition, names)]


def test_a_spec_lists_the_workers_by_task():
  addresses = cluster.parse('10.0.0.1:2222, node-2:2223')
  assert addresses == (cluster.Address('10.0.0.1', 2222),
                       cluster.Address('node-2', 2223))
  assert str(cluster.check_task(addresses, 1)) == 'node-2:2223'


@pytest.mark.parametrize('text, words', [
    ('', "got '', expected host:port"),
    ('host1:1,host2', 'host2 has no port, expected host:port'),
    ('host1:1,host2:2,host1:1', 'host1:1 appears twice'),
    ('host:70000', "has port '70000', expected a whole number from 1 to 65535"),
    ('host:abc', "has port 'abc'"),
    ('[::1]:22', 'expected a name or an IPv4 address'),
    ('grpc://host:22', 'expected a name or an IPv4 address'),
    (':22', 'expected a name or an IPv4 address'),
], ids=lambda value: value[:20])
def test_a_wrong_spec_is_refused(text, words):
  with pytest.raises(errors.InputError) as told:
    cluster.parse(text)
  assert words in str(told.value)
  assert '\n' not in str(told.value)


@pytest.mark.parametrize('task', [-1, 2])
def test_a_task_out_of_range_is_refused(task):
  with pytest.raises(errors.InputError, match=f'got {task}, expected 0 to 1'):
    cluster.check_task(cluster.parse('a:1,b:2'), task)


def test_a_host_without_address_is_refused():
  with pytest.raises(errors.InputError, match='has no IPv4 address'):
    cluster.ipv4('no-such-host.invalid')
  assert cluster.ipv4('127.0.0.1') == '127.0.0.1'


@pytest.mark.parametrize('devices, split, expected', [
    ([1, 1], (2, 2, 1), '00 00 10 10'),
    ([2, 2], (2, 2, 1), '00 01 10 11'),
    ([4, 4], (2, 1, 1), '00 10'),
    ([2, 1], (2, 2, 1), '00 01 10 10'),
    ([2], (4, 1, 1), '00 00 01 01'),
], ids=['one device each', 'two each', 'more devices than blocks', 'unequal',
        'one worker'])
def test_blocks_are_spread_evenly_and_neighbours_lie_together(
    devices, split, expected):
  assert [a + b for a, b in _spread(devices, *split)] == expected.split()


def test_processors_fewer_than_blocks_are_spread():
  assert _spread([1, 1], 2, 2, 1, devices=2) == [('0', '0'), ('1', '0')]


def test_shares_that_differ_are_refused():
  with pytest.raises(errors.InputError, match='4 blocks for 3 workers, '
                     'expected the same number for each, for example 6'):
    _spread([1, 1, 1], 2, 2, 1)
