"""Ports for servers that are still to be started on this machine.

A port that is only looked up may be taken before its server listens, even by a
connection that another program makes, as those have ports too.
"""

from collections.abc import Iterator
import contextlib
import socket


@contextlib.contextmanager
def held(count: int) -> Iterator[list[int]]:
  """Holds free loopback ports while servers come and go on them.

  Each is bound, but not listened on: the kernel gives it to nobody who asks
  for any port, be it to listen or to connect from, and refuses who connects to
  it. A server that names it and reuses addresses, as TensorFlow's does, can
  listen on it all the same (Linux, `man 7 socket`, SO_REUSEADDR).

  Args:
    count: of ports, 0 or more.

  Yields:
    `count` different TCP ports of 127.0.0.1.
  """
  with contextlib.ExitStack() as stack:
    ports = []
    for _ in range(count):
      holder = stack.enter_context(socket.socket())
      holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      holder.bind(('127.0.0.1', 0))
      ports.append(holder.getsockname()[1])
    yield ports
