"""One training step as a list of operations with the sizes they write.

What a block keeps for the backward pass, and what it holds at the worst
moment, both follow from who writes and who reads which tensor. The list
follows the operations of `convolution`, `normalization`, `pooling`, `dropout`
and `losses`; sizes are those of one block. No TensorFlow here.

Names of tensors: `<layer>` is a layer's result, `<layer>/output` that of its
convolution before the norm, `<layer>/widened` its input with the margins that
the filter reads, `<layer>/mask` what dropout keeps, `d <tensor>` a gradient,
`<tensor> again N` what `recomputation` makes in the backward pass.
"""

from collections.abc import Sequence
import dataclasses
import math

from mtf_unet import architecture
from mtf_unet import config as config_lib
from mtf_unet import layout
from mtf_unet import slabs
from mtf_unet import window

IMAGES, LABELS, LOGITS = 'images', 'labels', 'logits'
# Copies of a slab of logits that the loss makes on its way: log-probabilities,
# probabilities, one-hot labels and their products.
_LOSS_COPIES = 4
_FLOAT32_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Operation:
  """One operation on a block.

  Attributes:
    name: what happens, for people.
    layer: name of the layer it belongs to.
    reads: tensors that must be there.
    writes: bytes by tensor.
    scratch: further bytes, given back when it is done.
    backward: whether it belongs to the backward pass.
  """
  name: str
  layer: str
  reads: tuple[str, ...]
  writes: dict[str, int]
  scratch: int = 0
  backward: bool = False


@dataclasses.dataclass(frozen=True)
class Block:
  """Sizes of one block.

  Attributes:
    batch: volumes or slices in it.
    edges: voxels along each spatial dim at level 0.
    split: whether a layout cuts space, so that margins are exchanged.
    activation_bytes: of one number.
  """
  batch: int
  edges: tuple[int, ...]
  split: bool
  activation_bytes: int

  @classmethod
  def of(cls, config: config_lib.Config, partition: layout.Partition
         ) -> 'Block':
    """Cuts a config's training batch by a partition."""
    dimensions = config.network.dimensions
    names = layout.SPATIAL[:dimensions]
    return cls(
        config.training.batch_size // partition.blocks(layout.BATCH),
        tuple(n // partition.blocks(dim)
              for dim, n in zip(names, config.data.size)),
        any(partition.blocks(dim) > 1 for dim in names),
        {'float32': 4, 'bfloat16': 2}[config.network.activation_dtype])

  def shape(self, level: int) -> tuple[int, ...]:
    """Returns [batch, *spatial] at a level."""
    return (self.batch, *(edge >> level for edge in self.edges))

  def numbers(self, level: int, channels: int,
              margins: Sequence[tuple[int, int]] = ()) -> int:
    """Counts the numbers of a block at a level, widened by margins."""
    batch, *edges = self.shape(level)
    for axis, (before, after) in enumerate(margins):
      edges[axis] += before + after
    return batch * math.prod(edges) * channels


def geometry(layer: architecture.Layer, dimensions: int) -> window.Geometry:
  """Returns how a layer's filter reads; for 'up', of what it transposes."""
  return window.Geometry.of((layer.kernel,) * dimensions,
                            (layer.stride,) * dimensions, (1,) * dimensions)


def widens(margins: Sequence[tuple[int, int]]) -> bool:
  """Whether there is a margin at all."""
  return any(before or after for before, after in margins)


class _Builder:
  """Lists the operations; each method is one layer's part."""

  def __init__(self, config, block, whole_statistics):
    self._network, self._block = config.network, block
    self._whole_statistics = whole_statistics
    self._keep = config.network.dropout_keep
    self.operations = []
    # By layer: what it was fed, and what its filter reads of that.
    self._fed, self._inputs = {}, {}
    self._skips, self._made_by = {}, {}
    # Tensors that a coarse head has sent a gradient to.
    self._supervised = set()

  def _add(self, name, layer, reads, writes, scratch=0, backward=False):
    self.operations.append(Operation(
        name, layer.name, tuple(filter(None, reads)), writes, scratch,
        backward))

  def _bytes(self, level, channels, margins=()):
    return (self._block.numbers(level, channels, margins)
            * self._block.activation_bytes)

  def _drops(self, layer):
    return layer.drops and self._keep < 1.0

  def _widen(self, name, layer, tensor, level, channels, margins, backward):
    """Adds the exchange of margins; returns what the filter then reads."""
    if not (self._block.split and widens(margins)):
      return tensor
    self._add('exchange margins', layer, [tensor],
              {name: self._bytes(level, channels, margins)},
              scratch=self._bytes(level, channels, margins[:-1]),
              backward=backward)
    return name

  def forward(self, layer, x):
    """Adds a layer's forward part on tensor x; returns its result."""
    self._fed[layer.name] = self._inputs[layer.name] = x
    self._made_by[layer.name] = layer
    {architecture.CONVOLUTION: self._convolution,
     architecture.POOL: self._pool, architecture.UP: self._up,
     architecture.JOIN: self._join,
     architecture.HEAD: self._head}[layer.kind](layer, x)
    if layer.kind == architecture.HEAD:
      return self._logits(layer)
    return layer.name

  def _logits(self, head):
    return f'{head.name}/{LOGITS}' if head.is_branch else LOGITS

  def _convolution(self, layer, x):
    margins = geometry(layer, self._network.dimensions).input_margins
    name, size = layer.name, self._bytes(layer.level, layer.outputs)
    read = self._widen(f'{name}/widened', layer, x, layer.level, layer.inputs,
                       margins, False)
    self._inputs[name] = read
    self._add('convolution', layer, [read], {f'{name}/output': size})
    writes, scratch = {name: size}, 0
    if self._drops(layer):
      writes[f'{name}/mask'] = self._block.numbers(layer.level, layer.outputs)
      scratch = size
    self._add('norm, activation, dropout', layer, [f'{name}/output'], writes,
              scratch)

  def _recomputes(self, tensor):
    return (tensor in self._made_by
            and self._made_by[tensor].level in self._network.recompute)

  def _again(self, tensor, layer):
    """Adds what makes a tensor anew for a layer's gradient, if it is not kept.

    Returns:
      The name of what the gradient reads.
    """
    if not self._recomputes(tensor):
      return tensor
    made = self._made_by[tensor]
    size = self._bytes(made.level, made.outputs)
    if made.kind == architecture.CONVOLUTION:
      sources = [f'{tensor}/output']
    else:
      fed = [self._fed[tensor]]
      if made.kind == architecture.JOIN:
        fed.append(self._skips[made.level])
      sources = [self._again(x, layer) for x in fed]
    name = f'{tensor} again {len(self.operations)}'
    scratch = 0
    if self._drops(made):
      scratch = size + self._block.numbers(made.level, made.outputs)
    self._add('computed again', layer, sources, {name: size}, scratch,
              backward=True)
    return name

  def _pool(self, layer, x):
    self._skips[layer.level - 1] = x
    if self._recomputes(x):
      self._add('pooling', layer, [x],
                {layer.name: self._bytes(layer.level, layer.outputs)})
      return
    # Which voxel of a window was the largest is known, and computed, at once.
    self._add('pooling', layer, [x],
              {layer.name: self._bytes(layer.level, layer.outputs),
               f'{layer.name}/largest': self._block.numbers(
                   layer.level - 1, layer.inputs)},
              scratch=self._bytes(layer.level - 1, layer.inputs))

  def _up(self, layer, x):
    name, size = layer.name, self._bytes(layer.level, layer.outputs)
    if not self._drops(layer):
      self._add('transposed convolution', layer, [x], {name: size})
      return
    self._add('transposed convolution', layer, [x], {f'{name}/output': size})
    self._add('dropout', layer, [f'{name}/output'], {
        name: size,
        f'{name}/mask': self._block.numbers(layer.level, layer.outputs)})

  def _join(self, layer, x):
    self._add('concatenation', layer, [x, self._skips[layer.level]],
              {layer.name: self._bytes(layer.level, layer.outputs)})

  def _head(self, layer, x):
    numbers = self._block.numbers(layer.level, layer.outputs)
    self._add('convolution', layer, [x],
              {self._logits(layer): numbers * _FLOAT32_BYTES},
              scratch=numbers * self._block.activation_bytes)

  def loss(self, layer):
    """Adds the loss of a head and its gradient to the logits."""
    logits, labels = self._logits(layer), LABELS
    if layer.is_branch:
      labels = f'{layer.name}/{LABELS}'
      self._add('coarse labels', layer, [LABELS],
                {labels: self._block.numbers(layer.level, 1)})
    size = self._block.numbers(layer.level, layer.outputs) * _FLOAT32_BYTES
    shape = self._block.shape(layer.level)
    cut = slabs.along_x(shape)
    copies = _LOSS_COPIES * size * max(edge for _, edge in cut) // shape[1]
    self._add('loss', layer, [logits, labels], {}, copies)
    # Slabs of the gradient are joined at the end.
    self._add('loss gradient', layer, [logits, labels], {f'd {logits}': size},
              copies if len(cut) == 1 else max(copies, size), backward=True)

  def backward(self, layer, x):
    """Adds a layer's backward part; x is the tensor that it was fed."""
    {architecture.CONVOLUTION: self._convolution_gradient,
     architecture.POOL: self._pool_gradient,
     architecture.UP: self._up_gradient, architecture.JOIN: self._join_gradient,
     architecture.HEAD: self._head_gradient}[layer.kind](layer, x)

  def _convolution_gradient(self, layer, x):
    name, size = layer.name, self._bytes(layer.level, layer.outputs)
    mask, mask_again = self._mask(layer)
    # One kernel where a block holds the whole statistic; else what flows back
    # through the statistics is taken off in a pass of its own.
    self._add('through activation', layer,
              [f'd {name}', f'{name}/output', mask], {f'd {name}/normed': size},
              mask_again, backward=True)
    self._add('norm gradient', layer, [f'd {name}/normed', f'{name}/output'],
              {f'd {name}/output': size},
              0 if self._whole_statistics else size, backward=True)
    self._filter_gradient(layer, f'd {name}/output')
    if x != IMAGES:
      margins = geometry(layer, self._network.dimensions).output_margins
      dy = self._widen(f'd {name}/widened', layer, f'd {name}/output',
                       layer.level, layer.outputs, margins, True)
      self._add('input gradient', layer, [dy],
                {f'd {x}': self._bytes(layer.level, layer.inputs)},
                backward=True)

  def _mask(self, layer):
    """The mask that a gradient reads, or the bytes of one drawn again."""
    if not self._drops(layer):
      return None, 0
    if self._recomputes(layer.name):
      return None, self._block.numbers(layer.level, layer.outputs)
    return f'{layer.name}/mask', 0

  def _filter_gradient(self, layer, dy):
    x, read = self._fed[layer.name], self._inputs[layer.name]
    if self._recomputes(x):
      read = self._again(x, layer)
      if layer.kind == architecture.CONVOLUTION:
        margins = geometry(layer, self._network.dimensions).input_margins
        read = self._widen(f'{layer.name}/widened again', layer, read,
                           layer.level, layer.inputs, margins, True)
    self._add('filter gradient', layer, [read, dy], {}, backward=True)

  def _pool_gradient(self, layer, x):
    size, scratch = self._bytes(layer.level - 1, layer.inputs), 0
    largest = f'{layer.name}/largest'
    if self._recomputes(x):
      largest = self._again(x, layer)
      scratch = self._block.numbers(layer.level - 1, layer.inputs)
    # The window's voxels are stacked, then moved to their places; what comes
    # back through the decoder is added in place.
    self._add('pooling gradient', layer,
              [largest, f'd {layer.name}', f'd {x}/skipped'],
              {f'd {x}': size}, scratch=scratch + size, backward=True)

  def _up_gradient(self, layer, x):
    name, size = layer.name, self._bytes(layer.level, layer.outputs)
    dy = f'd {name}'
    if self._drops(layer):
      mask, mask_again = self._mask(layer)
      self._add('through dropout', layer, [dy, mask],
                {f'{dy}/output': size}, mask_again, backward=True)
      dy = f'{dy}/output'
    self._filter_gradient(layer, dy)
    # What a coarse head sent before is added in place.
    added = f'd {x}/supervised' if x in self._supervised else None
    self._add('input gradient', layer, [dy, added],
              {f'd {x}': self._bytes(layer.level + 1, layer.inputs)},
              backward=True)

  def _join_gradient(self, layer, x):
    half = self._bytes(layer.level, layer.outputs // 2)
    self._add('halves of the gradient', layer, [f'd {layer.name}'],
              {f'd {x}': half, f'd {self._skips[layer.level]}/skipped': half},
              backward=True)

  def _head_gradient(self, layer, x):
    dy, dx = f'd {self._logits(layer)}', f'd {x}'
    if layer.is_branch:
      self._supervised.add(x)
      dx += '/supervised'
    self._filter_gradient(layer, dy)
    self._add('input gradient', layer, [dy],
              {dx: self._bytes(layer.level, layer.inputs)},
              scratch=self._bytes(layer.level, layer.outputs), backward=True)


def schedule(config: config_lib.Config, partition: layout.Partition,
             layers: Sequence[architecture.Layer]) -> list[Operation]:
  """Lists a training step on one block, forward and backward.

  Args:
    config: the experiment.
    partition: how it is cut.
    layers: of its network, as `architecture.training_layers` lists them.
  """
  block = Block.of(config, partition)
  normed_over_batch = config.network.normalization == 'batch'
  builder = _Builder(config, block, whole_statistics=not block.split and not (
      normed_over_batch and partition.blocks(layout.BATCH) > 1))
  fed, x = [], IMAGES
  for layer in layers:
    result = builder.forward(layer, x)
    if layer.is_branch:
      # Nothing in it waits for the finer levels, so TensorFlow does it at once.
      builder.loss(layer)
      builder.backward(layer, x)
    else:
      fed.append((layer, x))
      x = result
  builder.loss(layers[-1])
  for layer, x in reversed(fed):
    builder.backward(layer, x)
  return builder.operations


@dataclasses.dataclass(frozen=True)
class Moment:
  """The moment at which most is held.

  Attributes:
    bytes: held by one block, `resident` ones included.
    layer: whose operation runs.
    operation: what it does.
  """
  bytes: int
  layer: str
  operation: str


def peak(operations: Sequence[Operation], resident: dict[str, int]) -> Moment:
  """Runs through a schedule; a tensor goes after its last reader.

  Args:
    operations: the schedule.
    resident: bytes of tensors that are there from the beginning to the end.
  """
  last = {}
  for number, operation in enumerate(operations):
    last.update(dict.fromkeys(operation.reads, number))
  live, worst = dict(resident), Moment(0, '', '')
  for number, operation in enumerate(operations):
    live |= operation.writes
    held = sum(live.values()) + operation.scratch
    if held > worst.bytes:
      worst = Moment(held, operation.layer, operation.name)
    for name in (*operation.reads, *operation.writes):
      if name not in resident and last.get(name, number) <= number:
        live.pop(name, None)
  return worst


def kept(operations: Sequence[Operation]) -> dict[str, int]:
  """Returns the bytes of what the forward pass leaves for the backward."""
  written, wanted = {}, set()
  for operation in operations:
    if operation.backward:
      wanted.update(operation.reads)
    else:
      written |= operation.writes
  return {name: size for name, size in written.items() if name in wanted}
