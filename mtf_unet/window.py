"""The window of a convolution: how far it reads beyond a block.

  with kernel K, stride s, dilation d, e = (K - 1) d, and SAME's padding of
  max(e + 1 - s, 0) voxels, `lo` of them in front,
    y[j]  = sum_k w[k] x[j s - lo + k d]        reads lo before, the rest after
    dx[i] = sum_k w[k] dy[(i + lo - k d) / s]   reads floor((e - lo) / s) of dy
                                                before, ceil(lo / s) after
    dw[k] = sum_j x[j s - lo + k d] dy[j]       reads x as the first does.

No TensorFlow here: the memory planner asks the same file.
"""

from collections.abc import Sequence
import dataclasses


@dataclasses.dataclass(frozen=True)
class Axis:
  """Kernel size, stride and dilation along one spatial dim."""
  kernel: int
  stride: int
  dilation: int

  @property
  def extent(self) -> int:
    """Voxels from the filter's first tap to its last."""
    return (self.kernel - 1) * self.dilation

  @property
  def input_margin(self) -> tuple[int, int]:
    """Voxels of x that a block reads before and after its own."""
    total = max(self.extent + 1 - self.stride, 0)
    return total // 2, total - total // 2

  @property
  def output_margin(self) -> tuple[int, int]:
    """Voxels of dy that the input gradient reads beyond its own."""
    low = self.input_margin[0]
    return (self.extent - low) // self.stride, -(-low // self.stride)


@dataclasses.dataclass(frozen=True)
class Geometry:
  """Kernel, stride and dilation along every spatial dim."""
  axes: tuple[Axis, ...]

  @classmethod
  def of(cls, kernel: Sequence[int], strides: Sequence[int],
         dilations: Sequence[int]) -> 'Geometry':
    """Builds it from three sequences of equal length."""
    return cls(tuple(map(Axis, kernel, strides, dilations)))

  @property
  def strides(self) -> list[int]:
    """As TensorFlow's operations take them."""
    return [1, *(axis.stride for axis in self.axes), 1]

  @property
  def dilations(self) -> list[int]:
    """As TensorFlow's operations take them."""
    return [1, *(axis.dilation for axis in self.axes), 1]

  @property
  def input_margins(self) -> list[tuple[int, int]]:
    """Voxels of x that a block reads beyond its own."""
    return [axis.input_margin for axis in self.axes]

  @property
  def output_margins(self) -> list[tuple[int, int]]:
    """Voxels of dy that the input gradient reads beyond its own."""
    return [axis.output_margin for axis in self.axes]

  @property
  def unit_stride(self) -> bool:
    """Whether every stride is 1."""
    return all(axis.stride == 1 for axis in self.axes)
