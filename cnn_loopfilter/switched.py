"""Filters with switches as further states of an evaluation."""

from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses

import numpy as np

from cnn_loopfilter import blocks
from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import switch_coding
from cnn_loopfilter import switches as switches_lib


@dataclasses.dataclass(frozen=True)
class Setting:
  """What is measured beside the filters as they are: each with each.

  Attributes:
    codings: of switch_coding.CODINGS, each once.
    sizes: edges of blocks in luma samples, each once.
  """
  codings: tuple[str, ...] = switch_coding.CODINGS
  sizes: tuple[int, ...] = (64,)

  def __post_init__(self):
    for values in (self.codings, self.sizes):
      if len(set(values)) != len(values):
        raise errors.InputError(f'switches: got {", ".join(map(str, values))}, '
                                'expected each once')
    for coding in self.codings:
      switch_coding.make(coding)
    for size in self.sizes:
      blocks.Grid(frames_lib.Format(2, 2), size)


def state_of(name: str, coding: str, size: int) -> str:
  """Returns what tables call a filter with switches."""
  return f'{name} with switches ({coding}, {size})'


class Stream:
  """The coders of one sequence at one QP; they learn from frame to frame.

  Args:
    setting: None: no further states.
    names: of the filters.
  """

  def __init__(self, setting: Setting | None, names: Iterable[str]):
    kinds = [(coding, size) for coding in setting.codings
             for size in setting.sizes] if setting else []
    self._coders = {name: {kind: switch_coding.make(kind[0]) for kind in kinds}
                    for name in names}

  def states(self, name: str, original: frames_lib.Frame,
             unfiltered: frames_lib.Frame, filtered: Sequence[np.ndarray],
             qp: int) -> dict[str, tuple[tuple[np.ndarray, ...], int]]:
    """Returns planes and bits of the switches of one frame by state.

    The bits are those of the whole bytes that the switches take, of one byte
    at least.

    Args:
      name: of the filter.
      original: what was coded.
      unfiltered: the reconstruction.
      filtered: the filter's planes.
      qp: of the frame.
    """
    found, on = {}, frames_lib.Frame(tuple(filtered), original.format)
    for (coding, size), coder in self._coders[name].items():
      grid = blocks.Grid(original.format, size)
      chosen = switches_lib.choose(grid, original, unfiltered, on, qp,
                                   coder.model)
      switched = switches_lib.apply(grid, chosen, unfiltered, on)
      bits = 8 * max(1, len(coder.pack(chosen)))
      found[state_of(name, coding, size)] = switched.planes, bits
    return found
