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
  """Returns a session config with enough virtual CPU devices.

  Sessions of one server share variables of the same name unless isolated; a
  training and the prediction that scores it have many such.
  """
  return tf.compat.v1.ConfigProto(
      device_count={'CPU': partition.num_devices}, allow_soft_placement=True,
      isolate_session_state=True)


def block_devices(partition: layout.Partition,
                  devices: list[str] | None = None) -> list[str]:
  """Names the device of each block, several to a device where needed.

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
  return [devices[block // per_device] for block in range(partition.mesh_size)]


def placement_mesh(
    partition: layout.Partition, devices: list[str] | None = None
) -> shared_memory_mesh.SharedMemoryMeshImpl:
  """Places a partition on devices; see `block_devices`."""
  return shared_memory_mesh.SharedMemoryMeshImpl(
      mtf.convert_to_shape(partition.mesh_shape_string()),
      mtf.convert_to_layout_rules(partition.layout_string()),
      block_devices(partition, devices))


class OneDevicePlacer:
  """Puts every master weight on one device; an `mtf.Mesh` takes it.

  Args:
    device: its name.
  """

  def __init__(self, device: str):
    self._device = device

  def device_function(self, variable: tf.Operation) -> str:
    """Returns the device of a variable."""
    del variable
    return self._device


def variable_placer(devices: list[str] | None) -> OneDevicePlacer | None:
  """Places master weights: in the first worker, where there are workers.

  Args:
    devices: of the mesh; None, or names without a job, for this process.
  """
  first = tf.DeviceSpec.from_string(devices[0] if devices else '')
  if first.job is None:
    return None
  return OneDevicePlacer(first.replace(device_type='CPU',
                                       device_index=0).to_string())
