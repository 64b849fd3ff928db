"""What a training step computes and what it sends, from the config alone.

A multiplication and an addition are two operations (FLOP); norm, activation,
dropout and pooling are left out. A convolution over a widened block computes
that block alone, so margins cost no arithmetic: what they cost is the exchange,
and the copying of blocks that grow by `halo_voxels`.

Bytes are those that the busiest device receives: from both neighbours along
each split axis, and in sums over n devices 2 (n - 1) / n of the summed tensor,
as a ring does. No TensorFlow here.
"""

from collections.abc import Sequence
import dataclasses
import math

from mtf_unet import architecture
from mtf_unet import config as config_lib
from mtf_unet import layout
from mtf_unet import memory_planner
from mtf_unet import step_schedule

_FLOAT32_BYTES = 4


@dataclasses.dataclass(frozen=True)
class LayerCost:
  """One layer's share of a step, for one block.

  Attributes:
    flop: of the convolution and its two gradients.
    margins: bytes received in exchanges, forward and backward.
    sums: bytes received in sums of the norm's statistics and their gradients.
    gradients: bytes received in sums of the filters' gradients.
    halo_voxels: what the forward exchange adds to the block that the filter
      reads, as a fraction of the block.
  """
  flop: int = 0
  margins: int = 0
  sums: int = 0
  gradients: int = 0
  halo_voxels: float = 0.0

  @property
  def received(self) -> int:
    """All bytes received."""
    return self.margins + self.sums + self.gradients


@dataclasses.dataclass(frozen=True)
class Cost:
  """The cost of a step on one device.

  Attributes:
    layers: by layer in the order of the data, for one block.
    loss_sums: bytes received in the sums of all losses, for one block.
    blocks_per_device: blocks that a device holds.
    mesh_size: blocks in all.
  """
  layers: tuple[LayerCost, ...]
  loss_sums: int
  blocks_per_device: int
  mesh_size: int

  def device(self, key: str) -> int:
    """Sums one of LayerCost's numbers over layers and a device's blocks."""
    return self.blocks_per_device * sum(
        getattr(layer, key) for layer in self.layers)

  @property
  def received(self) -> int:
    """All bytes that the busiest device receives.

    An upper bound where a device holds several blocks: what blocks of one
    device exchange is counted as well.
    """
    return self.device('received') + self.blocks_per_device * self.loss_sums

  @property
  def flop(self) -> int:
    """Of a step over the whole mesh."""
    return self.mesh_size * sum(layer.flop for layer in self.layers)


def convolution_flop(layer: architecture.Layer, block: step_schedule.Block
                     ) -> int:
  """Counts the operations of a layer's convolution on one block, forward.

  Every voxel of a convolution's result, and every voxel that a transposed one
  takes in, meets the whole filter. Zeros beyond the border count as voxels.
  """
  if not layer.kernel:
    return 0
  level = layer.level + (layer.kind == architecture.UP)
  taps = layer.kernel ** len(block.edges)
  return 2 * taps * layer.outputs * block.numbers(level, layer.inputs)


def margin_bytes(edges: Sequence[int], blocks: Sequence[int],
                 margins: Sequence[tuple[int, int]], *, voxel_bytes: int
                 ) -> int:
  """Returns the bytes that the busiest block receives in one exchange.

  Axes are exchanged one after the other, each with what came before it.

  Args:
    edges: of the block along each spatial dim.
    blocks: number of blocks along each; unsplit dims are padded, not sent.
    margins: voxels before and after.
    voxel_bytes: of one voxel of the whole batch, all channels.
  """
  edges, received = list(edges), 0
  for axis, (count, (before, after)) in enumerate(zip(blocks, margins)):
    if count == 1:
      continue
    # A block between two others receives both sides, one of two only one.
    voxels = before + after if count > 2 else max(before, after)
    others = math.prod(edges[:axis] + edges[axis + 1:])
    received += voxels * others * voxel_bytes
    edges[axis] += before + after
  return received


def _ring_bytes(size, devices):
  return round(2 * (devices - 1) / devices * size)


def cost(config: config_lib.Config, partition: layout.Partition) -> Cost:
  """Counts a training step.

  Args:
    config: the experiment.
    partition: how it is cut.

  Raises:
    InputError: for sizes that the partition does not divide.
  """
  memory_planner.check(config, partition)
  block = step_schedule.Block.of(config, partition)
  dimensions = config.network.dimensions
  blocks = [partition.blocks(dim) for dim in layout.SPATIAL[:dimensions]]
  space = math.prod(blocks)
  classes = config.data.num_classes
  layers = memory_planner.layers_of(config)
  costs = [_layer_cost(layer, config, block, blocks,
                       partition.blocks(layout.BATCH), first=number == 0)
           for number, layer in enumerate(layers)]
  losses = 1 + config.network.deep_supervision
  loss_bytes = losses * block.batch * (3 * classes + 1) * _FLOAT32_BYTES
  return Cost(tuple(costs), _ring_bytes(loss_bytes, space),
              partition.mesh_size // partition.num_devices,
              partition.mesh_size)


def _layer_cost(layer, config, block, blocks, batch_blocks, *, first):
  if not layer.kernel:
    return LayerCost()
  space = math.prod(blocks)
  # Nobody asks for the gradient to the images.
  passes = 2 if first else 3
  margins, growth = 0, 0.0
  edges = block.shape(layer.level)[1:]
  geometry = step_schedule.geometry(layer, config.network.dimensions)
  if layer.kind == architecture.CONVOLUTION and space > 1:
    voxel = block.batch * block.activation_bytes
    margins = margin_bytes(edges, blocks, geometry.input_margins,
                           voxel_bytes=voxel * layer.inputs)
    if not first and layer.level in config.network.recompute:
      # An input that is computed again is widened again.
      margins *= 2
    if not first:
      margins += margin_bytes(edges, blocks, geometry.output_margins,
                              voxel_bytes=voxel * layer.outputs)
    growth = math.prod(
        1 + sum(pair) / edge for edge, pair, count in zip(
            edges, geometry.input_margins, blocks) if count > 1) - 1
  return LayerCost(
      passes * convolution_flop(layer, block), margins,
      _statistics_bytes(layer, config, block, space, batch_blocks),
      _gradient_bytes(layer, config, block, space * batch_blocks), growth)


def _statistics_bytes(layer, config, block, space, batch_blocks):
  """Mean and variance forward; gradients to scale and offset backward."""
  if layer.kind != architecture.CONVOLUTION:
    return 0
  by_channel = 2 * layer.outputs * _FLOAT32_BYTES
  if config.network.normalization == 'batch':
    return 2 * _ring_bytes(by_channel, space * batch_blocks)
  return (2 * _ring_bytes(block.batch * by_channel, space)
          + _ring_bytes(by_channel, batch_blocks))


def _gradient_bytes(layer, config, block, devices):
  kernel, *others = architecture.variables(layer, config.network)
  size = math.prod(kernel.shape) * block.activation_bytes
  if layer.kind == architecture.HEAD:
    size += math.prod(others[0].shape) * _FLOAT32_BYTES
  return _ring_bytes(size, devices)
