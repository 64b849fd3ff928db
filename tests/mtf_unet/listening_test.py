"""Who can connect to a socket that listens everywhere."""

import socket

import pytest

from mtf_unet import errors
from mtf_unet import listening


@pytest.fixture(name='port')
def _port():
  """Listens as TensorFlow does: on all addresses of both protocols."""
  with socket.create_server(('', 0), family=socket.AF_INET6,
                            dualstack_ipv6=True) as server:
    yield server.getsockname()[1]


def _reachable(host, port):
  try:
    socket.create_connection((host, port), timeout=0.3).close()
  except OSError:
    return False
  return True


def test_a_restricted_port_serves_its_address_alone(port):
  hosts = ['127.0.0.1', '127.0.0.2', '::1']
  assert all(_reachable(host, port) for host in hosts)
  listening.restrict(port, '127.0.0.1')
  assert [_reachable(host, port) for host in hosts] == [True, False, False]


def test_an_unrestricted_port_serves_everybody(port):
  listening.restrict(port, listening.ANY)
  assert _reachable('127.0.0.2', port)


def test_other_ports_stay_open(port):
  with socket.create_server(('127.0.0.2', 0)) as other:
    listening.restrict(port, '127.0.0.1')
    assert _reachable('127.0.0.2', other.getsockname()[1])


def test_a_taken_port_is_refused_in_one_line(port):
  with pytest.raises(errors.InputError, match=f'127.0.0.1:{port}: cannot be '
                     'listened on .Address already in use'):
    listening.check_free(port, '127.0.0.1')


def test_an_address_of_another_machine_is_refused():
  with pytest.raises(errors.InputError, match='an address of this machine'):
    listening.check_free(0, '203.0.113.9')
