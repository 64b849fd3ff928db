"""A known answer for a filter, by the reference; NumPy alone is needed."""

import dataclasses

import numpy as np

from cnn_loopfilter import integer_graph
from cnn_loopfilter import runtime

# Two planes: enough to meet each kernel's inner part and its edges, and still
# a fraction of a second for the reference.
_SHAPE = (2, 19, 35, 1)


def of(filter_: integer_graph.IntegerFilter) -> integer_graph.TestVector:
  """Lets the reference answer for noise over the whole range."""
  rng = np.random.Generator(np.random.PCG64(0))
  reconstruction = rng.integers(0, 2 ** filter_.depth, _SHAPE)
  # The second plane is smooth, as pictures are; noise alone may clamp much.
  height, width = _SHAPE[1:3]
  slope = np.add.outer(np.arange(height), np.arange(width))
  reconstruction[1, :, :, 0] = (slope << (filter_.depth - 6)) + (
      reconstruction[1, :, :, 0] >> 5)
  reconstruction = np.minimum(reconstruction, 2 ** filter_.depth - 1).astype(
      np.int32)
  qp = np.array([37, 22], np.int32)
  reference = runtime.Reference(filter_)
  return integer_graph.TestVector(
      reconstruction, qp,
      reference.residual(reconstruction, qp).astype(np.int32),
      reference.filter_batch(reconstruction, qp))


def added(filter_: integer_graph.IntegerFilter
          ) -> integer_graph.IntegerFilter:
  """Returns the filter with a known answer."""
  return dataclasses.replace(filter_, vector=of(filter_))
