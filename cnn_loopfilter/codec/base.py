"""What a codec is to the rest: frames and QP to reconstructions and bits."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import time
import typing

from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib

# What the codec's own loop filters do: nothing; deblocking alone; everything
# the codec has (HEVC: deblocking and sample adaptive offset; AV1: deblocking,
# CDEF and loop restoration; H.264: deblocking).
FILTERS = ('none', 'deblocking', 'all')


@dataclasses.dataclass(frozen=True)
class Coded:
  """One frame after coding."""
  reconstruction: frames_lib.Frame
  bits: int
  # Seconds that the encoder and the decoder took; None where not measured.
  encode_s: float | None = None
  decode_s: float | None = None


class Stopwatch:
  """Tells the seconds since it was made or read last."""

  def __init__(self):
    self._start = time.perf_counter()

  def lap(self) -> float:
    start, self._start = self._start, time.perf_counter()
    return self._start - start


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
      qp: HEVC's scale, 0 .. 51 (63 for programs of codecs that go that
        far); a codec of another scale takes the nearest quantizer step.
      filters: one of FILTERS.

    Yields:
      One result for each frame, in order.

    Raises:
      InputError: for a QP out of range, a format that the codec does not
        take, or an encoder or decoder that fails.
    """
    ...


def check(filters: str, qp: int, possible: Sequence[str] = FILTERS,
          largest_qp: int = 51, smallest_qp: int = 0) -> None:
  """Raises InputError for filters or a QP that a codec does not have."""
  if filters not in possible:
    raise errors.InputError(
        f'filters: got {filters!r}, expected one of {", ".join(possible)}')
  if not smallest_qp <= qp <= largest_qp:
    raise errors.InputError(
        f'qp: got {qp}, expected {smallest_qp} to {largest_qp}')


def check_preset(preset: str, presets: Sequence[str]) -> None:
  """Raises InputError for a preset that a codec does not have."""
  if preset not in presets:
    raise errors.InputError(f'codec.preset: got {preset!r}, expected one of '
                            f'{", ".join(presets)}')
