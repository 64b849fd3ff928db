"""Frames as integer planes.

A *plane* is one component: samples 0 .. 2^depth - 1, [height, width], uint8
for depth 8 and uint16 above. A frame has Y, U, V (or Y alone). As bytes, a
sample of more than 8 bits takes two, little endian.
"""

from collections.abc import Iterator
import dataclasses
import itertools
import typing

import numpy as np

from cnn_loopfilter import errors

# Vertical and horizontal subsampling of chroma; () has no chroma.
SUBSAMPLING = {'400': (), '420': (2, 2), '422': (1, 2), '444': (1, 1)}
DEPTHS = (8, 10, 12)
COMPONENTS = ('Y', 'U', 'V')


def sample_dtype(depth: int) -> np.dtype:
  """Returns the type of a stored sample of `depth` bits."""
  return np.dtype(np.uint8 if depth == 8 else '<u2')


@dataclasses.dataclass(frozen=True)
class Format:
  """Size in luma samples, bits of a sample, chroma (a key of SUBSAMPLING).

  A size that the subsampling does not divide gives chroma planes whose last
  row or column belongs to fewer luma samples.

  Raises:
    InputError: for an unknown depth or chroma, or a size below 1x1.
  """
  width: int
  height: int
  depth: int = 8
  chroma: str = '420'

  def __post_init__(self):
    if self.depth not in DEPTHS:
      raise errors.InputError(f'depth: got {self.depth}, expected one of '
                              f'{", ".join(map(str, DEPTHS))}')
    if self.chroma not in SUBSAMPLING:
      raise errors.InputError(f'chroma: got {self.chroma!r}, expected one of '
                              f'{", ".join(SUBSAMPLING)}')
    if self.height < 1 or self.width < 1:
      raise errors.InputError(f'size: got {self.width}x{self.height}, expected '
                              '1x1 or more')

  @property
  def plane_shapes(self) -> tuple[tuple[int, int], ...]:
    """[height, width] of each plane."""
    luma = (self.height, self.width)
    if not SUBSAMPLING[self.chroma]:
      return (luma,)
    rows, columns = SUBSAMPLING[self.chroma]
    return (luma, *[(-(-self.height // rows), -(-self.width // columns))] * 2)

  @property
  def frame_bytes(self) -> int:
    samples = sum(height * width for height, width in self.plane_shapes)
    return samples * sample_dtype(self.depth).itemsize


@dataclasses.dataclass(frozen=True)
class Frame:
  """One picture: its planes, Y first, and what they mean."""
  planes: tuple[np.ndarray, ...]
  format: Format

  def __post_init__(self):
    dtype = sample_dtype(self.format.depth)
    shapes = tuple(plane.shape for plane in self.planes)
    if shapes != self.format.plane_shapes or any(
        plane.dtype != dtype for plane in self.planes):
      raise errors.InputError(
          f'frame: got planes {shapes} of {self.planes[0].dtype}, expected '
          f'{self.format.plane_shapes} of {dtype}')

  def to_bytes(self) -> bytes:
    """Returns the planes one after the other, as a raw file holds them."""
    return b''.join(plane.tobytes() for plane in self.planes)


def frame_from_bytes(data: bytes, layout: Format) -> Frame:
  """Undoes `Frame.to_bytes`; `data` has layout.frame_bytes bytes."""
  flat, planes, start = np.frombuffer(data, sample_dtype(layout.depth)), [], 0
  for height, width in layout.plane_shapes:
    planes.append(flat[start:start + height * width].reshape(height, width))
    start += height * width
  return Frame(tuple(planes), layout)


@dataclasses.dataclass(frozen=True)
class Sequence:
  """Frames of one file: a name, their format, and how to go through them."""
  name: str
  format: Format
  count: int
  # Starts again at the first frame on each call.
  open: typing.Callable[[], Iterator[Frame]]
  # Class of test sequences; files take the name of their folder.
  group: str = ''

  def frames(self, limit: int | None = None) -> Iterator[Frame]:
    return itertools.islice(self.open(), limit)
