"""Cuts arrays into the blocks of a partition and joins them again.

The input pipeline hands each processor its own block, so that no tensor of a
whole volume's size ever enters the graph; what comes out is joined in NumPy.
"""

from collections.abc import Sequence

import numpy as np

from mtf_unet import layout

# A block's place in the whole: one slice for each dim.
Place = tuple[slice, ...]


def places(partition: layout.Partition, dims: Sequence[str],
           shape: Sequence[int]) -> list[Place]:
  """Lists the block of every mesh position.

  Args:
    partition: the layout.
    dims: a name for every dim of the array; those that the layout does not
      name are whole in each block.
    shape: of the array.

  Returns:
    One Place for each position; positions that differ only along an axis that
    cuts none of the dims have the same.
  """
  result = []
  for position in range(partition.mesh_size):
    coordinates = partition.block_of(position)
    place = []
    for dim, size in zip(dims, shape):
      edge = size // partition.blocks(dim)
      begin = coordinates.get(dim, 0) * edge
      place.append(slice(begin, begin + edge))
    result.append(tuple(place))
  return result


def join(blocks: Sequence[np.ndarray], where: Sequence[Place],
         shape: Sequence[int]) -> np.ndarray:
  """Puts blocks back together; trailing dims beyond `where` are kept whole."""
  extra = blocks[0].shape[len(where[0]):]
  whole = np.empty(tuple(shape) + extra, blocks[0].dtype)
  for block, place in zip(blocks, where):
    whole[place] = block
  return whole
