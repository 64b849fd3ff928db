"""Finds the smallest mesh on which a training step fits.

Among meshes of equally many devices the one is best whose busiest device
receives the fewest bytes in a step; cutting the batch exchanges no margins, so
it is cut first. No TensorFlow here.
"""

from collections.abc import Iterator
import functools
import itertools

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import memory_planner
from mtf_unet import step_cost


def _divisors(number):
  return [n for n in range(1, number + 1) if number % n == 0]


def partitions(config: config_lib.Config,
               max_devices: int | None = None) -> Iterator[layout.Partition]:
  """Yields every way to cut the training batch, the fewest devices first.

  Args:
    config: the experiment; its own mesh is not asked.
    max_devices: where to stop; None for no limit.

  Raises:
    InputError: for a size that even one block cannot be halved from level to
      level, naming the nearest sizes that can.
  """
  memory_planner.check(config, layout.partition(config_lib.MeshConfig()))
  dimensions, edge = config.network.dimensions, config.network.size_multiple
  ways = [_divisors(config.training.batch_size)] + [
      _divisors(n // edge) for n in config.data.size[:dimensions]]
  ways += [[1]] * (4 - len(ways))
  count = lambda split: split[0] * split[1] * split[2] * split[3]
  for batch, *space in sorted(itertools.product(*ways), key=count):
    if max_devices is None or count((batch, *space)) <= max_devices:
      yield layout.partition(config_lib.MeshConfig(
          spatial_split=tuple(space), batch_split=batch))


def fit(config: config_lib.Config, device_gib: float,
        max_devices: int | None = None) -> memory_planner.Plan:
  """Returns the plan of the smallest mesh whose devices suffice.

  Args:
    config: the experiment; its own mesh is not asked.
    device_gib: memory of one device.
    max_devices: as many there are; None for no limit.

  Raises:
    InputError: for a size that cannot be cut, or where no mesh fits; it says
      how much the best mesh needs.
  """
  smallest, found = None, []
  for partition in partitions(config, max_devices):
    if found and partition.mesh_size > found[0].partition.mesh_size:
      break
    plan = memory_planner.plan(config, partition)
    if plan.device <= device_gib * memory_planner.GIB:
      found.append(plan)
    if smallest is None or plan.device < smallest.device:
      smallest = plan
  if found:
    return min(found, key=lambda plan: _burden(config, plan))
  raise errors.InputError(_too_small(smallest, device_gib, max_devices))


def _burden(config, plan):
  return step_cost.cost(config, plan.partition).received, plan.device


def _too_small(plan, device_gib, max_devices):
  limit = f' of at most {max_devices} devices' if max_devices else ''
  variables = plan.variables / memory_planner.GIB
  return (f'device: {device_gib:g} GiB are too small for any mesh{limit}; the '
          f'least is {plan.device / memory_planner.GIB:.3g} GiB with '
          f'{describe(plan.partition)}, of which {variables:.3g} GiB are '
          'variables; expected a larger device, more devices, a smaller '
          'data.size or a smaller network.base_filters')


def describe(partition: layout.Partition) -> str:
  """Writes a partition as the config keys that make it."""
  text = f'mesh.spatial_split={partition.spatial_split}'
  batch = partition.blocks(layout.BATCH)
  return text + (f', mesh.batch_split={batch}' if batch > 1 else '')


@functools.lru_cache(maxsize=8)
def partition_of(config: config_lib.Config) -> layout.Partition:
  """Returns the partition of an experiment, searched for where it is 'auto'.

  Raises:
    InputError: for a mesh that does not hold together, or where none fits.
  """
  if config.mesh.layout != config_lib.AUTO_LAYOUT:
    return layout.partition(config.mesh)
  return fit(config, config.mesh.device_memory_gib,
             config.mesh.devices).partition
