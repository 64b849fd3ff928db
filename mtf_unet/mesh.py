"""Puts a partition on real processors.

`SharedMemoryMeshImpl` holds one copy of the program for each block, placed on
named devices (CPU, GPU, workers of a cluster). Several blocks may share a
device: exchange between them is then a local copy.
"""

import tensorflow as tf

from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import shared_memory_mesh
from mtf_unet.mtf_compat import mtf


def local_devices(count: int) -> list[str]:
  """Names `count` devices of this process: GPUs where so many are, else CPUs.

  There are as many CPU devices as `session_config` asks for.
  """
  gpus = len(tf.config.list_physical_devices('GPU'))
  kind = 'GPU' if gpus >= count else 'CPU'
  return [f'/device:{kind}:{i}' for i in range(count)]


def session_config(partition: layout.Partition) -> tf.compat.v1.ConfigProto:
  """Returns a session config with enough virtual CPU devices."""
  return tf.compat.v1.ConfigProto(
      device_count={'CPU': partition.num_devices}, allow_soft_placement=True)


def placement_mesh(
    partition: layout.Partition, devices: list[str] | None = None
) -> shared_memory_mesh.SharedMemoryMeshImpl:
  """Places a partition on devices, several blocks on each where needed.

  Args:
    partition: the checked layout.
    devices: device names; by default `local_devices`.

  Raises:
    InputError: when there are fewer devices than the partition needs.
  """
  if devices is None:
    devices = local_devices(partition.num_devices)
  if len(devices) < partition.num_devices:
    raise errors.InputError(
        f'mesh: {partition.mesh_shape_string()} needs '
        f'{partition.num_devices} devices, got {len(devices)}: '
        f'{", ".join(devices)}')
  per_device = partition.mesh_size // partition.num_devices
  block_devices = [devices[block // per_device]
                   for block in range(partition.mesh_size)]
  return shared_memory_mesh.SharedMemoryMeshImpl(
      mtf.convert_to_shape(partition.mesh_shape_string()),
      mtf.convert_to_layout_rules(partition.layout_string()),
      block_devices)
