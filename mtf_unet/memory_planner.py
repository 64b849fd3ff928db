"""How much memory a training step takes on each device, from the config alone.

A device holds its blocks' activations (`step_schedule`) and, once for all of
them, weights, optimizer state and gradients. Every number is float32 but the
activations of a bfloat16 network and the copies of its filters.

What is counted is tensors. A compiler for an accelerator may pad or
rematerialise them; what a process on a CPU needs beside them was measured
(`process_bytes`). No TensorFlow here.
"""

import dataclasses
import math

from mtf_unet import architecture
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import step_schedule

GIB = 2 ** 30
_MIB = 2 ** 20
# GiB of one core of a TPU of that generation.
DEVICES_GIB = {'v2': 8, 'v3': 16, 'v4': 32}
OPTIMIZERS = ('adafactor', 'adam', 'lamb')
_FLOAT32_BYTES = 4
# Mesh-TensorFlow's Adafactor factors a variable whose two largest dims are
# both at least this long.
_ADAFACTOR_MIN_DIM = 128
# The graph of a process's second and every further block.
_FURTHER_BLOCK_BYTES = 37 * _MIB


@dataclasses.dataclass(frozen=True)
class Allocator:
  """What a process with TensorFlow 2.15 on a CPU, oneDNN on, takes above idle.

  docs/memory.md tells how it was measured.

  Attributes:
    process_bytes: of the graph of one block, kernels and what else is small.
    factor: resident bytes for a byte of tensors.
  """
  process_bytes: int
  factor: float


# Takes memory in regions, each twice the last, and cuts tensors out of them;
# where activations are computed again, more come and go and leave more holes.
TENSORFLOW_ALLOCATOR = Allocator(93 * _MIB, 1.43)
RECOMPUTING_ALLOCATOR = Allocator(140 * _MIB, 1.58)
# A worker of a cluster: the same allocator; the whole graph is the client's.
WORKER_ALLOCATOR = Allocator(50 * _MIB, 1.43)
# Gives every large tensor pages of its own, and those back when it goes.
SYSTEM_ALLOCATOR = Allocator(120 * _MIB, 1.17)
# What has TensorFlow use it. The second variable keeps the C library from
# holding on to freed tensors.
SYSTEM_ALLOCATOR_ENVIRONMENT = {
    'TF_ONEDNN_USE_SYSTEM_ALLOCATOR': '1',
    'MALLOC_MMAP_THRESHOLD_': str(_MIB)}


@dataclasses.dataclass(frozen=True)
class LayerPlan:
  """One layer's share, for one block; bytes.

  Attributes:
    layer: the layer.
    shape: of its result, [batch, *spatial, channels] of one block.
    parameters: trainable numbers.
    weights: its variables, their moving averages and bfloat16 copies.
    optimizer: state of the optimizer.
    gradients: to its variables.
    kept: what the forward pass leaves for the backward pass, margins included.
    halo: the part of `kept` that lies beyond the block.
  """
  layer: architecture.Layer
  shape: tuple[int, ...]
  parameters: int
  weights: int
  optimizer: int
  gradients: int
  kept: int
  halo: int


@dataclasses.dataclass(frozen=True)
class Plan:
  """The memory of one device; bytes.

  Attributes:
    partition: how batch and space are cut.
    layers: the layers in the order of the data.
    input: images and labels of one block.
    block: the worst moment of one block, its input included.
    blocks_per_device: blocks that a device holds.
    recomputes: whether a level's activations are computed again.
  """
  partition: layout.Partition
  layers: tuple[LayerPlan, ...]
  input: int
  block: step_schedule.Moment
  blocks_per_device: int
  recomputes: bool

  def total(self, key: str) -> int:
    """Sums one of LayerPlan's numbers over the layers."""
    return sum(getattr(layer, key) for layer in self.layers)

  @property
  def variables(self) -> int:
    """Weights, optimizer state and gradients: once on each device."""
    return sum(map(self.total, ('weights', 'optimizer', 'gradients')))

  @property
  def device(self) -> int:
    """What a device holds at the worst moment."""
    return self.variables + self.blocks_per_device * self.block.bytes


def optimizer_bytes(name: str, shape: tuple[int, ...]) -> int:
  """Returns the bytes of an optimizer's state for one variable.

  Adam and LAMB keep two moments. Adafactor keeps the second moment: by rows
  and columns of the two largest dims where both are 128 or more, else in full.

  Raises:
    InputError: for an optimizer that is not known here.
  """
  if name not in OPTIMIZERS:
    raise errors.InputError(
        f'config key optimizer.name: got {name!r}, whose state is not known; '
        f'expected one of {", ".join(OPTIMIZERS)}')
  size = math.prod(shape)
  if name != 'adafactor':
    return 2 * size * _FLOAT32_BYTES
  largest = sorted(shape, reverse=True)[:2]
  if len(largest) == 2 and largest[1] >= _ADAFACTOR_MIN_DIM:
    return sum(size // edge for edge in largest) * _FLOAT32_BYTES
  return size * _FLOAT32_BYTES


def layers_of(config: config_lib.Config) -> list[architecture.Layer]:
  """Lists the layers of an experiment's network in training."""
  channels = config.data.channels * (2 * config.data.neighbor_slices + 1)
  return architecture.training_layers(config.network, channels,
                                      config.data.num_classes)


def check(config: config_lib.Config, partition: layout.Partition) -> None:
  """Checks that the training's volumes can be cut so.

  Raises:
    InputError: naming the dim and the nearest sizes that work.
  """
  layout.check_sizes(partition, config.data.size, config.training.batch_size,
                     config.network.size_multiples)


def plan(config: config_lib.Config, partition: layout.Partition) -> Plan:
  """Counts the memory of a training step.

  Args:
    config: the experiment.
    partition: how it is cut.

  Raises:
    InputError: for sizes that the partition does not divide, or an optimizer
      that is not known here.
  """
  check(config, partition)
  layers = layers_of(config)
  block = step_schedule.Block.of(config, partition)
  images = block.numbers(0, layers[0].inputs) * _FLOAT32_BYTES
  labels = block.numbers(0, 1)
  resident = {step_schedule.LABELS: labels}
  # Under bfloat16 the images are cast, and the cast ones are kept as well.
  if block.activation_bytes != _FLOAT32_BYTES:
    resident['float32 images'] = images
  resident[step_schedule.IMAGES] = (block.numbers(0, layers[0].inputs)
                                    * block.activation_bytes)
  operations = step_schedule.schedule(config, partition, layers)
  kept, halo = _kept_by_layer(operations, resident)
  return Plan(
      partition,
      tuple(_layer_plan(layer, config, block, kept.get(layer.name, 0),
                        halo.get(layer.name, 0)) for layer in layers),
      images + labels, step_schedule.peak(operations, resident),
      partition.mesh_size // partition.num_devices,
      bool(config.network.recompute))


def _kept_by_layer(operations, resident):
  """Bytes kept, and the margins' part of them, by name of the layer."""
  kept_tensors = step_schedule.kept(operations)
  sizes, kept, halo = dict(resident), {}, {}
  for operation in operations:
    if operation.backward:
      continue
    sizes |= operation.writes
    for tensor, size in operation.writes.items():
      if tensor in kept_tensors:
        kept[operation.layer] = kept.get(operation.layer, 0) + size
        if tensor.endswith('/widened'):
          halo[operation.layer] = size - sizes[operation.reads[0]]
  return kept, halo


def _layer_plan(layer, config, block, kept, halo):
  variables = architecture.variables(layer, config.network)
  trainable = [v.shape for v in variables if v.trainable]
  parameters = sum(map(math.prod, trainable))
  copies = 2 if config.training.ema_decay else 1
  weights = copies * parameters * _FLOAT32_BYTES + sum(
      math.prod(v.shape) for v in variables if not v.trainable
  ) * _FLOAT32_BYTES
  if block.activation_bytes != _FLOAT32_BYTES and layer.kernel:
    weights += math.prod(trainable[0]) * block.activation_bytes
  return LayerPlan(
      layer, (*block.shape(layer.level), layer.outputs), parameters, weights,
      sum(optimizer_bytes(config.optimizer.name, shape)
          for shape in trainable),
      parameters * _FLOAT32_BYTES, kept, halo)


def process_tensors(planned: Plan, processes: int = 1) -> int:
  """Returns the bytes of tensors in one of equal processes at its peak.

  Its blocks share one copy of the variables.

  Args:
    planned: the plan.
    processes: that hold the mesh.
  """
  blocks = planned.partition.mesh_size // processes
  return planned.variables + blocks * planned.block.bytes


def process_bytes(planned: Plan, processes: int = 1, *,
                  system_allocator: bool = False) -> int:
  """Estimates the memory of a CPU process that holds the mesh, or its share.

  Its peak resident set above that of an idle process with the libraries
  loaded.

  Args:
    planned: the plan.
    processes: that hold the mesh; several are workers of a cluster
      (docs/cluster.md), whose client is not counted.
    system_allocator: whether the process runs with the environment that
      makes TensorFlow use the system's allocator (docs/memory.md).
  """
  allocator = (SYSTEM_ALLOCATOR if system_allocator
               else RECOMPUTING_ALLOCATOR if planned.recomputes
               else WORKER_ALLOCATOR if processes > 1
               else TENSORFLOW_ALLOCATOR)
  further = planned.partition.mesh_size // processes - 1
  return round(allocator.process_bytes + further * _FURTHER_BLOCK_BYTES
               + allocator.factor * process_tensors(planned, processes))


def parse_device(text: str) -> float:
  """Turns `'v3'` or a number of GiB into GiB of one device.

  Raises:
    InputError: for anything else.
  """
  if text in DEVICES_GIB:
    return float(DEVICES_GIB[text])
  try:
    gib = float(text)
  except ValueError:
    gib = 0.0
  if not 0 < gib < math.inf:
    raise errors.InputError(
        f'device: got {text!r}, expected {", ".join(DEVICES_GIB)} or a '
        'positive number of GiB')
  return gib
