"""Puts a partition on the cores of a TPU: one block, one program, each core.

All cores run the same program (SIMD); what they tell each other goes through
collectives of the TPU's own network. Nothing here touches a TPU: a topology
may come from one, or be made by hand to build the program without it.
"""

from collections.abc import Sequence

import numpy as np
from tensorflow.python.tpu import device_assignment as device_assignment_lib
from tensorflow.python.tpu import topology as topology_lib

from mtf_unet import errors
from mtf_unet import layout
from mtf_unet.mtf_compat import mtf

DeviceAssignment = device_assignment_lib.DeviceAssignment
Topology = topology_lib.Topology

_CORES_OF_CHIP = 2
# Chips that one host drives, along the topology's first two axes.
_HOST_CHIPS = (2, 2)
# The compiled programs lie on the first host: 300 MiB for each core, as the
# reference code reckons. Variables go where memory is left.
_PROGRAM_BYTES = 300 * 2**20


class SimdMesh(mtf.simd_mesh_impl.SimdMeshImpl):
  """`SimdMeshImpl` with what a `PlacementMeshImpl` tells of itself, too."""

  @property
  def devices(self) -> list[str]:
    """Names of the devices that operations are placed on: none, by itself."""
    return []


def made_topology(cores: int) -> Topology:
  """Makes the topology of a TPU v2 or v3 slice with so many cores.

  Args:
    cores: an even number; chips lie in a plane as square as can be, four (2 x
      2) to a host where the plane has room for that, else all to one.

  Raises:
    InputError: for an odd number.
  """
  if cores < 1 or cores % _CORES_OF_CHIP:
    raise errors.InputError(
        f'mesh: {cores} cores, expected an even number: every chip of a TPU '
        f'has {_CORES_OF_CHIP}')
  chips = cores // _CORES_OF_CHIP
  width = max(n for n in range(1, int(chips ** 0.5) + 1) if chips % n == 0)
  plane = (chips // width, width)
  host = tuple(edge if n % edge == 0 else n
               for n, edge in zip(plane, _HOST_CHIPS))
  tasks = []
  for corner in np.ndindex(*(n // edge for n, edge in zip(plane, host))):
    tasks.append([
        [corner[0] * host[0] + x, corner[1] * host[1] + y, 0, core]
        for x, y, core in np.ndindex(*host, _CORES_OF_CHIP)])
  return Topology(mesh_shape=[*plane, 1, _CORES_OF_CHIP],
                  device_coordinates=tasks)


def assignment(topology: Topology) -> DeviceAssignment:
  """Gives every core of a topology a replica of its own."""
  return device_assignment_lib.device_assignment(
      topology, num_replicas=topology.num_tasks * topology.num_tpus_per_task)


def check_cores(partition: layout.Partition, cores: int) -> None:
  """Checks that a partition has one block for each core.

  Raises:
    InputError: naming both numbers.
  """
  if partition.mesh_size != cores or partition.num_devices != cores:
    raise errors.InputError(
        f'mesh: {partition.mesh_size} blocks on {partition.num_devices} '
        f'devices, expected one block for each of the {cores} cores of the '
        'TPU')


def simd_mesh(partition: layout.Partition,
              device_assignment: DeviceAssignment) -> SimdMesh:
  """Lays mesh position i on replica i of the assignment.

  Args:
    partition: how to cut.
    device_assignment: one core for each replica; its order, made from the
      topology, keeps neighbours close.

  Raises:
    InputError: when blocks and cores differ in number.
  """
  check_cores(partition, device_assignment.num_replicas)
  return SimdMesh(mtf.convert_to_shape(partition.mesh_shape_string()),
                  mtf.convert_to_layout_rules(partition.layout_string()),
                  None, device_assignment)


def variable_placer(host_devices: Sequence[str], cores: int
                    ) -> mtf.utils.BalancedVariablePlacer:
  """Spreads variables over the hosts; an `mtf.Mesh` takes it.

  Args:
    host_devices: CPU devices of the hosts, the first one that which keeps the
      compiled programs.
    cores: of the TPU.
  """
  usage = [_PROGRAM_BYTES * cores] + [0] * (len(host_devices) - 1)
  return mtf.utils.BalancedVariablePlacer(list(host_devices), usage)
