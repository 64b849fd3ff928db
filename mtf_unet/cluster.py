"""The workers of a cluster: where they listen, and what each of them holds.

A worker is a process with TensorFlow's own gRPC server
(`scripts/mtf_unet/run_worker.py`); workers are numbered by *task* in the order
in which the cluster names them. No TensorFlow here.
"""

from collections.abc import Sequence
import dataclasses
import socket

from mtf_unet import errors
from mtf_unet import layout

# TensorFlow names a process by job and task. Servers start under one name and
# get another with each session, which tells them who takes part in it.
SERVER_JOB = 'server'
JOB = 'worker'
_PORTS = range(1, 2 ** 16)


@dataclasses.dataclass(frozen=True)
class Address:
  """Where a worker listens.

  Attributes:
    host: a name, or an IPv4 address.
    port: a TCP port.
  """
  host: str
  port: int

  def __str__(self) -> str:
    return f'{self.host}:{self.port}'


def parse(text: str) -> tuple[Address, ...]:
  """Parses `host1:port,host2:port`.

  Raises:
    InputError: for an empty list, an entry without a port, or one named twice.
  """
  addresses = tuple(parse_address(item.strip(), '--cluster')
                    for item in text.split(',') if item.strip())
  if not addresses:
    raise errors.InputError(
        f'--cluster: got {text!r}, expected host:port,host:port,...')
  for address in addresses:
    if addresses.count(address) > 1:
      raise errors.InputError(
          f'--cluster: {address} appears twice, expected each worker once')
  return addresses


def parse_address(item: str, flag: str) -> Address:
  """Parses `host:port`.

  Raises:
    InputError: naming the flag.
  """
  host, colon, port = item.rpartition(':')
  if not colon:
    raise errors.InputError(f'{flag}: {item} has no port, expected host:port')
  if not host or ':' in host or '/' in host:
    raise errors.InputError(
        f'{flag}: got {item!r}, expected a name or an IPv4 address before the '
        'port')
  if not port.isdecimal() or int(port) not in _PORTS:
    raise errors.InputError(
        f'{flag}: {item} has port {port!r}, expected a whole number from '
        f'{_PORTS[0]} to {_PORTS[-1]}')
  return Address(host, int(port))


def check_task(addresses: Sequence[Address], task: int) -> Address:
  """Returns the address of a task.

  Raises:
    InputError: if the cluster has no such worker.
  """
  if not 0 <= task < len(addresses):
    raise errors.InputError(
        f'--task: got {task}, expected 0 to {len(addresses) - 1} with the '
        f'{len(addresses)} workers of --cluster')
  return addresses[task]


def ipv4(host: str) -> str:
  """Returns the IPv4 address of a host.

  Raises:
    InputError: if it has none.
  """
  try:
    return socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0]
  except (OSError, UnicodeError) as error:
    raise errors.InputError(
        f'{host}: has no IPv4 address ({error}), expected a host that this '
        'machine can resolve') from error


def is_loopback(ip: str) -> bool:
  """Says whether only this machine can reach an IPv4 address."""
  return ip.startswith('127.')


def device_name(task: int, kind: str = 'CPU', index: int = 0) -> str:
  """Names a device of a worker as TensorFlow does."""
  return f'/job:{JOB}/replica:0/task:{task}/device:{kind}:{index}'


def mesh_devices(partition: layout.Partition,
                 workers: Sequence[Sequence[str]]) -> list[str]:
  """Spreads a mesh evenly over workers, and each share over its devices.

  Args:
    partition: how volumes are cut.
    workers: the device names of each worker, at least one.

  Returns:
    A device for each of the partition's `num_devices`, worker by worker, so
    that blocks that follow each other lie together; devices of a worker
    repeat where its share is larger than their number.

  Raises:
    InputError: when the workers' shares would differ.
  """
  count = partition.num_devices
  if count % len(workers):
    larger = -(-count // len(workers)) * len(workers)
    raise errors.InputError(
        f'mesh: {count} blocks for {len(workers)} workers, expected the same '
        f'number for each, for example {larger} blocks '
        '(--config.mesh.spatial_split, --config.mesh.devices)')
  share = count // len(workers)
  return [devices[block * min(share, len(devices)) // share]
          for devices in workers for block in range(share)]
