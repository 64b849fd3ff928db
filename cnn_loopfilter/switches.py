"""Where the filter is on: chosen at the encoder, applied on both sides.

The encoder minimises, for each component of a frame,

  sum of squared errors + lambda(QP) * bits of the flags

with the Lagrange multiplier that HEVC's reference encoder HM takes for an
intra picture (TEncSlice.cpp, I_SLICE without B frames; VTM has the same),

  lambda = 0.57 * 2^((QP - 12) / 3),

in units of squared 8-bit samples; 4^(depth - 8) brings it to those of `depth`
bits. Chroma takes the chroma QP of HEVC instead of QP, which is HM's weight of
chroma errors, 2^((QP - QPc) / 3), on the other side of the sum.
"""

import numpy as np

from cnn_loopfilter import blocks
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import switch_coding

# QPc of QP 30 to 43 with chroma 4:2:0 (ITU-T H.265, Table 8-10); QP below,
# QP - 6 above.
_FIRST_QP = 30
_CHROMA_QP = (29, 30, 31, 32, 33, 33, 34, 34, 35, 35, 36, 36, 37, 37)


def chroma_qp(qp: int, chroma: str) -> int:
  """Returns HEVC's QP of the chroma planes without offsets."""
  if chroma != '420':
    return min(qp, 51)
  if qp < _FIRST_QP:
    return qp
  place = qp - _FIRST_QP
  return _CHROMA_QP[place] if place < len(_CHROMA_QP) else qp - 6


def multiplier(qp: int, layout: frames_lib.Format, component: int) -> float:
  """Returns lambda: squared errors of samples that one bit is worth.

  Args:
    qp: of the frame.
    layout: its depth and chroma.
    component: 0 Y, 1 U, 2 V.
  """
  if component:
    qp = chroma_qp(qp, layout.chroma)
  return 0.57 * 2.0 ** ((qp - 12) / 3) * 4.0 ** (layout.depth - 8)


def choose(grid: blocks.Grid, original: frames_lib.Frame,
           unfiltered: frames_lib.Frame, filtered: frames_lib.Frame,
           qp: int, model: switch_coding.Model) -> switch_coding.Switches:
  """Chooses the switches of one frame.

  Blocks are decided one after the other, each with the flag that costs less
  by what the model has learnt so far; then the whole plane on and the whole
  plane off are tried against it.

  Args:
    grid: the blocks.
    original: what was coded.
    unfiltered: what the switches leave where they are off.
    filtered: what they leave where they are on.
    qp: of the frame.
    model: of the coder; it is not taught.
  """
  chosen = []
  for component, planes in enumerate(zip(
      original.planes, unfiltered.planes, filtered.planes)):
    off, on = (blocks.squared_errors(grid, component, planes[0], plane)
               for plane in planes[1:])
    factor = multiplier(qp, grid.format, component)

    def total(switches, component=component, off=off, on=on, factor=factor):
      return float(np.where(switches, on, off).sum()) + factor * (
          switch_coding.cost(model, switch_coding.flags(component, switches)))

    candidates = [np.ones(grid.shape, bool), np.zeros(grid.shape, bool),
                  _by_block(component, off, on, factor, model)]
    chosen.append(min(candidates, key=total))
  return tuple(chosen)


def _by_block(component, off, on, factor, model):
  """Decides block by block; ties leave the filter off."""
  trial = model.copy()
  switches = np.zeros(off.shape, bool)
  for row, column in np.ndindex(switches.shape):
    context = switch_coding.block_context(component, switches, row, column)
    switches[row, column] = (
        on[row, column] + factor * trial.cost(1, context)
        < off[row, column] + factor * trial.cost(0, context))
    trial.learn(int(switches[row, column]), context)
  return switches


def apply(grid: blocks.Grid, switches: switch_coding.Switches,
          unfiltered: frames_lib.Frame,
          filtered: frames_lib.Frame) -> frames_lib.Frame:
  """Returns the filtered samples where switches are on, else the others."""
  planes = []
  for component, (switch, off, on) in enumerate(zip(
      switches, unfiltered.planes, filtered.planes)):
    planes.append(np.where(grid.spread(component, switch), on, off))
  return frames_lib.Frame(tuple(planes), unfiltered.format)
