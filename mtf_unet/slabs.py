"""Slabs of a block along x, for work whose intermediate tensors are large.

The loss goes through a volume slab by slab, so that what it makes on its way
(probabilities, one-hot labels) is never there for the whole volume. No
TensorFlow here: the memory planner asks the same file.
"""

from collections.abc import Sequence
import math

# Small enough to count for nothing beside one activation of a large volume,
# large enough to keep all threads busy.
_VOXELS = 2 ** 19
# Every slab adds some twenty operations to the graph.
_MOST = 16


def along_x(shape: Sequence[int]) -> list[tuple[int, int]]:
  """Cuts a block into slabs.

  Args:
    shape: [batch, *spatial] of the block.

  Returns:
    Where each slab begins along x and how many voxels it has there; one slab
    for a small block.
  """
  edge = shape[1]
  count = min(_MOST, edge, -(-math.prod(shape) // _VOXELS))
  bounds = [edge * i // count for i in range(count + 1)]
  return [(begin, end - begin) for begin, end in zip(bounds, bounds[1:])]
