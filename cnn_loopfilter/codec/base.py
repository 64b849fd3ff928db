"""What a codec is to the rest: frames and QP to reconstructions and bits."""

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import typing

from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib

# What the codec's own loop filters do: nothing; deblocking alone; everything
# the codec has (HEVC: deblocking and sample adaptive offset).
FILTERS = ('none', 'deblocking', 'all')


@dataclasses.dataclass(frozen=True)
class Coded:
  """One frame after coding."""
  reconstruction: frames_lib.Frame
  bits: int


class Codec(typing.Protocol):
  """Codes frames one by one, all intra, at a fixed QP."""
  # For tables: name and preset.
  label: str
  # Everything that changes what it returns, such as versions and options.
  description: str
  # Those of FILTERS that it can do; 'none' is one of them.
  filters: tuple[str, ...]

  def encode(self, frames: Iterable[frames_lib.Frame], qp: int,
             filters: str) -> Iterator[Coded]:
    """Codes frames of one format.

    Args:
      frames: one after the other; only a few are in memory.
      qp: 0 .. 51 (63 for codecs that go that far).
      filters: one of FILTERS.

    Yields:
      One result for each frame, in order.

    Raises:
      InputError: for a QP out of range, a format that the codec does not
        take, or an encoder or decoder that fails.
    """
    ...


def check(filters: str, qp: int, largest_qp: int = 51) -> None:
  """Raises InputError for an unknown filter setting or a QP out of range."""
  if filters not in FILTERS:
    raise errors.InputError(
        f'filters: got {filters!r}, expected one of {", ".join(FILTERS)}')
  if not 0 <= qp <= largest_qp:
    raise errors.InputError(f'qp: got {qp}, expected 0 to {largest_qp}')
