"""Halo exchange: each block receives the margin that a filter reads.

With block size b and a halo of h voxels, `h // b` whole blocks and `h % b`
voxels of the block after those come from each side; beyond the volume's own
border they are zeros, as zero padding is. Axes are exchanged one after the
other, the second exchanging what the first has widened, so corners are right.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mtf_unet.mtf_compat import mtf


def exchange(mesh_impl: mtf.MeshImpl, x: Any, dims: Sequence[mtf.Dimension],
             margins: Sequence[tuple[int, int]]) -> Any:
  """Widens every block by margins of its neighbours.

  Args:
    mesh_impl: where x lies.
    x: a LaidOutTensor of slices [batch, *spatial, channels].
    dims: the spatial dims of the whole tensor.
    margins: voxels before and after each spatial dim.

  Returns:
    A LaidOutTensor of slices, widened along each dim by its margins.
  """
  paddings = [(0, 0)] * (len(dims) + 2)
  for axis, (dim, (before, after)) in enumerate(zip(dims, margins), start=1):
    mesh_axis = mesh_impl.tensor_dimension_to_mesh_axis(dim)
    if mesh_axis is None:
      paddings[axis] = (before, after)
    elif before or after:
      x = _exchange_axis(mesh_impl, x, dim.size, mesh_axis, axis, before,
                         after)
  if any(before or after for before, after in paddings):
    x = mesh_impl.slicewise(lambda block: tf.pad(block, paddings), x)
  return x


def _exchange_axis(mesh_impl, x, size, mesh_axis, axis, before, after):
  block = size // mesh_impl.shape[mesh_axis].size
  pieces = (_received(mesh_impl, x, mesh_axis, axis, block, before, 1)[::-1]
            + [x]
            + _received(mesh_impl, x, mesh_axis, axis, block, after, -1))
  return mesh_impl.slicewise(lambda *parts: tf.concat(parts, axis), *pieces)


def _received(mesh_impl, x, mesh_axis, axis, block, margin, direction):
  """What comes from one side, the nearest neighbour's part first."""
  complete, partial = divmod(margin, block)
  pieces = [
      mesh_impl.shift_by_n_processors(x, mesh_axis, direction * (i + 1), False)
      for i in range(complete)]
  if partial:
    begin = block - partial if direction > 0 else 0
    edge = mesh_impl.slicewise(
        lambda part: slice_axis(part, axis, begin, partial), x)
    pieces.append(mesh_impl.shift_by_n_processors(
        edge, mesh_axis, direction * (complete + 1), False))
  return pieces


def slice_axis(x: tf.Tensor, axis: int, begin: int, size: int) -> tf.Tensor:
  """Takes `size` entries from `begin` on along one axis."""
  rank = x.shape.rank
  begins, sizes = [0] * rank, [-1] * rank
  begins[axis], sizes[axis] = begin, size
  return tf.slice(x, begins, sizes)
