"""How a volume is cut: mesh shape, layout rules, block and halo sizes.

A *mesh* has axes (processors); a *tensor* has dims (voxels). A layout rule
lays one tensor dim along one mesh axis. The dims that may be laid out are
`batch`, `x`, `y` and `z`; each block of a volume then is a slice of the
tensor, so that no block dimension ever shows in a shape.

No TensorFlow here: a layout is checked before anything is built.
"""

import dataclasses
import math

from mtf_unet import config as config_lib
from mtf_unet import errors

BATCH = 'batch'
SPATIAL = ('x', 'y', 'z')
DIMS = (BATCH,) + SPATIAL


@dataclasses.dataclass(frozen=True)
class Partition:
  """A checked layout.

  Attributes:
    mesh_shape: (axis name, size) pairs, the outermost axis first.
    layout: (tensor dim name, axis name) pairs.
    num_devices: processors that hold the mesh's blocks; a device holds
      `mesh_size / num_devices` blocks that follow each other.
  """
  mesh_shape: tuple[tuple[str, int], ...]
  layout: tuple[tuple[str, str], ...]
  num_devices: int

  @property
  def mesh_size(self) -> int:
    """Number of blocks."""
    return math.prod(size for _, size in self.mesh_shape)

  def blocks(self, dim: str) -> int:
    """Returns the number of blocks along a tensor dim (1 when not split)."""
    axis = dict(self.layout).get(dim)
    return dict(self.mesh_shape)[axis] if axis else 1

  @property
  def spatial_split(self) -> tuple[int, int, int]:
    """Blocks along x, y, z."""
    return tuple(self.blocks(dim) for dim in SPATIAL)

  def mesh_shape_string(self) -> str:
    """The mesh as Mesh-TensorFlow writes it, `'rows:4,columns:4'`."""
    return ';'.join(f'{axis}:{size}' for axis, size in self.mesh_shape)

  def layout_string(self) -> str:
    """The rules as Mesh-TensorFlow writes them, `'x:rows;y:columns'`."""
    return ';'.join(f'{dim}:{axis}' for dim, axis in self.layout)

  def block_of(self, block: int) -> dict[str, int]:
    """Returns each split dim's block index for the given mesh position."""
    coordinates = {}
    for axis, size in reversed(self.mesh_shape):
      block, coordinates[axis] = divmod(block, size)
    return {dim: coordinates[axis] for dim, axis in self.layout}


def _parse_pairs(text: str, key: str, value_name: str) -> list[tuple[str, str]]:
  pairs = []
  for item in text.replace(';', ',').split(','):
    if not item.strip():
      continue
    name, colon, value = item.partition(':')
    if not colon or not name.strip() or not value.strip():
      raise errors.InputError(
          f'{key}: got {item.strip()!r} in {text!r}, expected '
          f'name:{value_name} pairs separated by commas')
    pairs.append((name.strip(), value.strip()))
  return pairs


def parse_mesh_shape(text: str) -> tuple[tuple[str, int], ...]:
  """Parses `'rows:4,columns:4'` (commas or semicolons).

  Raises:
    InputError: for a malformed pair, a size below 1 or a repeated axis.
  """
  axes = []
  for axis, size in _parse_pairs(text, 'mesh_shape', 'size'):
    if not size.isdigit() or int(size) < 1:
      raise errors.InputError(
          f'mesh_shape: axis {axis} has size {size!r}, expected a whole '
          'number of 1 or more')
    axes.append((axis, int(size)))
  names = [axis for axis, _ in axes]
  if len(set(names)) != len(names):
    raise errors.InputError(
        f'mesh_shape: {text!r} names an axis twice, expected each once')
  return tuple(axes)


def parse_layout(
    text: str, mesh_shape: tuple[tuple[str, int], ...]
) -> tuple[tuple[str, str], ...]:
  """Parses `'x:rows,y:columns'` against a mesh.

  Raises:
    InputError: for an unknown tensor dim or mesh axis, or one used twice.
  """
  rules = _parse_pairs(text, 'layout', 'axis')
  axes = [axis for axis, _ in mesh_shape]
  for dim, axis in rules:
    if dim not in DIMS:
      raise errors.InputError(
          f'layout: {dim!r} is no dimension of the data, expected one of '
          f'{", ".join(DIMS)}')
    if axis not in axes:
      raise errors.InputError(
          f'layout: {dim}:{axis} names a mesh axis that does not exist, '
          f'expected one of {", ".join(axes)}')
  for position, kind in ((0, 'dimension'), (1, 'mesh axis')):
    names = [rule[position] for rule in rules]
    for name in names:
      if names.count(name) > 1:
        raise errors.InputError(
            f'layout: {kind} {name} appears twice in {text!r}, expected once')
  return tuple(rules)


def partition(mesh: config_lib.MeshConfig) -> Partition:
  """Turns the config's shorthand or strings into a checked Partition.

  `spatial_split=(2, 2, 1)` becomes mesh `x_blocks:2,y_blocks:2` and layout
  `x:x_blocks,y:y_blocks`; `batch_split` adds an axis `batch_blocks`.

  Raises:
    InputError: for malformed strings, or blocks that the devices do not
      divide.
    ValueError: for layout 'auto', which takes more than the mesh to resolve
      (`split_search.partition_of`).
  """
  if mesh.layout == config_lib.AUTO_LAYOUT:
    raise ValueError(
        f'mesh.layout: got {mesh.layout!r}, expected a mesh that '
        'split_search.partition_of has chosen')
  if mesh.mesh_shape:
    shape = parse_mesh_shape(mesh.mesh_shape)
    rules = parse_layout(mesh.layout, shape)
    if mesh.batch_split != 1 or mesh.spatial_split != (1, 1, 1):
      raise errors.InputError(
          'mesh.spatial_split: got it beside mesh.mesh_shape, expected one '
          'of the two')
  else:
    blocks = dict(zip(DIMS, (mesh.batch_split,) + mesh.spatial_split))
    split = [dim for dim in DIMS if blocks[dim] > 1]
    shape = tuple((f'{dim}_blocks', blocks[dim]) for dim in split)
    rules = tuple((dim, f'{dim}_blocks') for dim in split)
  size = math.prod(n for _, n in shape)
  devices = size if mesh.devices is None else mesh.devices
  if size % devices:
    working = [n for n in range(1, size + 1) if size % n == 0]
    nearest = min(working, key=lambda n: abs(n - devices))
    raise errors.InputError(
        f'mesh.devices: {devices} devices do not divide the {size} blocks '
        f'evenly; nearest that works: {nearest}')
  return Partition(shape, rules, devices)


def check_sizes(split: Partition, size: tuple[int, int, int],
                batch_size: int, multiple: tuple[int, int, int]) -> None:
  """Checks that a volume and a batch can be cut.

  Args:
    split: the partition.
    size: voxels along x, y, z.
    batch_size: volumes.
    multiple: what a block's edge must be a multiple of along x, y, z, so that
      every pooling halves it evenly.

  Raises:
    InputError: naming the dimension and the nearest sizes that work.
  """
  for dim, voxels, edge in zip(SPATIAL, size, multiple):
    unit = split.blocks(dim) * edge
    if voxels % unit:
      lower = voxels // unit * unit
      nearest = f'{lower} or {lower + unit}' if lower else f'{unit}'
      raise errors.InputError(
          f'data.size: {voxels} voxels along {dim} do not divide into '
          f'{split.blocks(dim)} blocks of a multiple of {edge}; nearest that '
          f'works: {nearest}')
  blocks = split.blocks(BATCH)
  if batch_size % blocks:
    raise errors.InputError(
        f'training.batch_size: {batch_size} does not divide into {blocks} '
        f'blocks along the batch; nearest that works: '
        f'{(batch_size // blocks + 1) * blocks}')
