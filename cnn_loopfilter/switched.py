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
  """What is measured beside the filters as they are.

  Attributes:
    codings: of switch_coding.CODINGS, each once.
    block: edge of a block in luma samples.
  """
  codings: tuple[str, ...] = switch_coding.CODINGS
  block: int = 64

  def __post_init__(self):
    if len(set(self.codings)) != len(self.codings):
      raise errors.InputError(
          f'switches: got {", ".join(self.codings)}, expected each once')
    for coding in self.codings:
      switch_coding.make(coding)
    blocks.Grid(frames_lib.Format(2, 2), self.block)


def state_of(name: str, coding: str) -> str:
  """Returns what tables call a filter with switches."""
  return f'{name} with switches ({coding})'


class Stream:
  """The coders of one sequence at one QP; they learn from frame to frame.

  Args:
    setting: None: no further states.
    names: of the filters.
  """

  def __init__(self, setting: Setting | None, names: Iterable[str]):
    self._setting = setting
    self._coders = {name: {coding: switch_coding.make(coding)
                           for coding in (setting.codings if setting else ())}
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
    found = {}
    for coding, coder in self._coders[name].items():
      grid = blocks.Grid(original.format, self._setting.block)
      on = frames_lib.Frame(tuple(filtered), original.format)
      chosen = switches_lib.choose(grid, original, unfiltered, on, qp,
                                   coder.model)
      switched = switches_lib.apply(grid, chosen, unfiltered, on)
      bits = 8 * max(1, len(coder.pack(chosen)))
      found[state_of(name, coding)] = switched.planes, bits
    return found
