"""Who can use a port that is held."""

import socket

import pytest

from mtf_unet import free_ports
from mtf_unet import listening


def test_held_ports_differ():
  with free_ports.held(5) as ports:
    assert len(set(ports)) == 5


def test_nobody_answers_at_a_held_port():
  with free_ports.held(1) as (port,), pytest.raises(ConnectionRefusedError):
    socket.create_connection(('127.0.0.1', port), timeout=60)


@pytest.mark.parametrize('host', ['127.0.0.1', ''])
def test_servers_listen_on_a_held_port_one_after_the_other(host):
  with free_ports.held(1) as (port,):
    for _ in range(2):
      listening.check_free(port, '127.0.0.1')
      # create_server reuses addresses, as TensorFlow's server does.
      with (socket.create_server((host, port)) as server,
            socket.create_connection(('127.0.0.1', port), 60) as client):
        server.accept()[0].close()
        assert client.recv(1) == b''


def test_who_does_not_reuse_addresses_cannot_take_a_held_port():
  with (free_ports.held(1) as (port,), socket.socket() as other,
        pytest.raises(OSError, match='Address already in use')):
    other.bind(('127.0.0.1', port))
