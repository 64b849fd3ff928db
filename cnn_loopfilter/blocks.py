"""The grid of square blocks that switches and QPs belong to.

A block covers `size` x `size` luma samples and the chroma samples at the same
place, so every component has the same rows and columns of blocks; those at the
right and lower border may be smaller.
"""

import dataclasses

import numpy as np

from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib

SIZES = (32, 64, 128)


@dataclasses.dataclass(frozen=True)
class Grid:
  """Blocks on the planes of a format.

  Attributes:
    format: of the frames.
    size: edge of a block in luma samples, one of SIZES.

  Raises:
    InputError: for another size.
  """
  format: frames_lib.Format
  size: int = 64

  def __post_init__(self):
    if self.size not in SIZES:
      raise errors.InputError(f'block: got {self.size} luma samples, expected '
                              f'one of {", ".join(map(str, SIZES))}')

  @property
  def shape(self) -> tuple[int, int]:
    """Rows and columns of blocks, the same for every component."""
    return (-(-self.format.height // self.size),
            -(-self.format.width // self.size))

  def edges(self, component: int) -> tuple[int, int]:
    """Height and width of a whole block in samples of a component."""
    if not component:
      return self.size, self.size
    rows, columns = frames_lib.SUBSAMPLING[self.format.chroma]
    return self.size // rows, self.size // columns

  def sums(self, component: int, values: np.ndarray) -> np.ndarray:
    """Adds up what lies in each block.

    Args:
      component: 0 Y, 1 U, 2 V.
      values: int64, shape of the component's plane.

    Returns:
      int64 [rows, columns].
    """
    height, width = self.edges(component)
    tall = np.add.reduceat(values, np.arange(0, values.shape[0], height), 0)
    return np.add.reduceat(tall, np.arange(0, values.shape[1], width), 1)

  def spread(self, component: int, values: np.ndarray) -> np.ndarray:
    """Gives every sample its block's value.

    Args:
      component: 0 Y, 1 U, 2 V.
      values: [rows, columns].

    Returns:
      The values in the shape of the component's plane.
    """
    height, width = self.edges(component)
    rows, columns = self.format.plane_shapes[component]
    return values.repeat(height, 0)[:rows].repeat(width, 1)[:, :columns]


def squared_errors(grid: Grid, component: int, original: np.ndarray,
                   plane: np.ndarray) -> np.ndarray:
  """Returns the summed squared differences in each block, int64."""
  difference = original.astype(np.int64) - plane
  return grid.sums(component, difference * difference)
