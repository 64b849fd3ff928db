"""Closes the listening socket of a TensorFlow server to all but one address.

TensorFlow's server listens on every network interface whatever address its
cluster names, and asks nobody who he is. The kernel can be told to drop what
was sent to any other address of this machine: a filter on the listening socket
(Linux, `man 7 socket`, SO_ATTACH_FILTER) sees each packet, before a connection
exists, with the address that it was sent to.
"""

import ctypes
import os
import socket
import stat
import struct

from mtf_unet import errors

_SO_ATTACH_FILTER = 26
# What the filter program loads is found relative to the network header.
_NETWORK_HEADER = -0x100000 & 0xffffffff
_VERSION, _DESTINATION = _NETWORK_HEADER, _NETWORK_HEADER + 16
_LOAD_BYTE, _LOAD_WORD, _SHIFT_RIGHT, _JUMP_IF_EQUAL, _RETURN = (
    0x30, 0x20, 0x74, 0x15, 0x06)
_WHOLE_PACKET, _NOTHING = 0xffffffff, 0
ANY = '0.0.0.0'


def restrict(port: int, ip: str) -> None:
  """Lets this process's listening sockets on a port serve one address only.

  Args:
    port: TCP port on which this process listens.
    ip: IPv4 address of this machine; '0.0.0.0' lets everything through.

  Raises:
    InputError: if the system has no such filters.
  """
  if ip == ANY:
    return
  program = _program(ip)
  # The kernel copies the program, so the buffer may go afterwards.
  buffer = ctypes.create_string_buffer(program, len(program))
  option = struct.pack('HL', len(program) // 8, ctypes.addressof(buffer))
  try:
    for listener in _listeners(port):
      with listener:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
  except OSError as error:
    raise errors.InputError(
        f'port {port} cannot be closed to others than {ip} ({error}), expected '
        f'Linux; --bind={ANY} listens to everybody') from error


def warning(ip: str, port: int) -> str:
  """Returns what a user is told about a port that others can reach."""
  return (f'Warning: whoever reaches {ip}:{port} can run programs as this '
          'user, as TensorFlow asks for no password (docs/cluster.md)')


def _program(ip):
  """Keeps IPv4 packets to `ip`; instructions are code, jumps, operand."""
  (destination,) = struct.unpack('!I', socket.inet_aton(ip))
  return b''.join(struct.pack('HBBI', *instruction) for instruction in (
      (_LOAD_BYTE, 0, 0, _VERSION),
      (_SHIFT_RIGHT, 0, 0, 4),
      (_JUMP_IF_EQUAL, 0, 3, 4),
      (_LOAD_WORD, 0, 0, _DESTINATION),
      (_JUMP_IF_EQUAL, 0, 1, destination),
      (_RETURN, 0, 0, _WHOLE_PACKET),
      (_RETURN, 0, 0, _NOTHING)))


def _listeners(port):
  """Finds this process's sockets that listen on a port; yields duplicates."""
  for name in os.listdir('/proc/self/fd'):
    try:
      if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
        continue
      candidate = socket.socket(fileno=os.dup(int(name)))
    except OSError:
      continue
    if _listens(candidate, port):
      yield candidate
    else:
      candidate.close()


def _listens(candidate, port):
  return (candidate.family in (socket.AF_INET, socket.AF_INET6)
          and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
          and candidate.getsockname()[1] == port)


def check_free(port: int, ip: str) -> None:
  """Checks that a server can listen there.

  Raises:
    InputError: if the port is taken, or the address is not this machine's.
  """
  with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      probe.bind((ip, port))
    except OSError as error:
      raise errors.InputError(
          f'{ip}:{port}: cannot be listened on ({error.strerror}), expected a '
          'free port and an address of this machine') from error
