"""Runs an exported filter: the reference in NumPy's int64, and the choice.

  runtime.load(folder).filter_plane(plane, qp)

is all that a codec needs. The reference below is slow and short; the other
runtimes have to give the same bits.
"""

import importlib
import os
import typing

import numpy as np

from cnn_loopfilter import artefact
from cnn_loopfilter import dfp
from cnn_loopfilter import errors
from cnn_loopfilter import integer_graph

BACKENDS = ('auto', 'numpy', 'int32', 'float32', 'fast')


class Runtime(typing.Protocol):
  """What every runtime offers.

  Attributes:
    depth: bits of the samples that the filter was made for.
    filter: the filter itself.
  """
  depth: int
  filter: integer_graph.IntegerFilter

  def filter_batch(self, reconstruction: np.ndarray,
                   qp: np.ndarray) -> np.ndarray:
    """Filters whole planes.

    Args:
      reconstruction: integers [batch, height, width, 1], 0 to 2^depth - 1.
      qp: integers [batch], 0 to 63.

    Returns:
      int32, same shape and range.
    """

  def filter_plane(self, plane: np.ndarray, qp: int) -> np.ndarray:
    """Filters one component [height, width]; keeps the type of the samples."""


def load(folder: str | os.PathLike, backend: str = 'auto') -> Runtime:
  """Loads an exported filter with one call.

  Args:
    folder: what export_dfp.py wrote.
    backend: 'numpy'; on TensorFlow 'int32', 'float32' (where that is exact)
      or 'fast', the fastest kernels of this machine; 'auto': 'fast' where
      TensorFlow is installed, else 'numpy'. All give the same bits.

  Raises:
    InputError: for another backend, or a bad folder.
  """
  if backend not in BACKENDS:
    raise errors.InputError(
        f'backend: got {backend!r}, expected one of {", ".join(BACKENDS)}')
  return of(artefact.load(folder), backend)


def of(filter_: integer_graph.IntegerFilter, backend: str = 'auto') -> Runtime:
  """Makes the runtime of a filter in memory; see `load`."""
  if backend == 'auto':
    found = importlib.util.find_spec('tensorflow') is not None
    backend = 'fast' if found else 'numpy'
  if backend == 'numpy':
    return Reference(filter_)
  # A decoder without TensorFlow shall be able to import this file.
  on_tensorflow = importlib.import_module('cnn_loopfilter.runtime_tensorflow')
  return on_tensorflow.make(
      filter_, 'int8' if backend == 'fast' else backend)


class Reference:
  """The filter in int64.

  Args:
    filter_: the filter.
  """

  def __init__(self, filter_: integer_graph.IntegerFilter):
    self.filter, self.depth = filter_, filter_.depth

  def residual(self, reconstruction: np.ndarray,
               qp: np.ndarray) -> np.ndarray:
    """Returns the last layer's output, int64 [batch, height, width, 1]."""
    reconstruction, qp = integer_graph.check_input(
        self.filter, reconstruction, qp)
    reconstruction = reconstruction.astype(np.int64)
    plane = (qp.astype(np.int64)
             << (self.filter.depth - integer_graph.QP_BITS))
    plane = np.broadcast_to(plane[:, None, None, None], reconstruction.shape)
    x = np.concatenate([reconstruction, plane], axis=3)
    for layer, step in zip(self.filter.layers, self.filter.plan):
      total = ((_convolution(x, layer.weights.astype(np.int64))
                << step.accumulator_shift)
               + (layer.biases.astype(np.int64) << step.bias_shift))
      x = np.clip(dfp.rounding_shift(total, step.output_shift),
                  step.low, step.high)
    return x

  def filter_batch(self, reconstruction: np.ndarray,
                   qp: np.ndarray) -> np.ndarray:
    """Filters whole planes; see `Runtime`."""
    bits = self.filter.residual_bits
    total = ((np.asarray(reconstruction).astype(np.int64) << bits)
             + self.residual(reconstruction, qp))
    return np.clip(dfp.rounding_shift(total, bits), 0,
                   2 ** self.filter.depth - 1).astype(np.int32)

  def filter_plane(self, plane: np.ndarray, qp: int) -> np.ndarray:
    """Filters one component [height, width]; see `Runtime`."""
    plane = np.asarray(plane)
    return self.filter_batch(plane[None, ..., None], np.array([qp]))[
        0, ..., 0].astype(plane.dtype)


def _convolution(x, weights):
  """Correlates with zero padding: y[i, j] = sum x[i+di-r, j+dj-r] w[di, dj]."""
  edge, (_, height, width, _) = weights.shape[0], x.shape
  radius = edge // 2
  x = np.pad(x, [(0, 0), (radius, radius), (radius, radius), (0, 0)])
  return sum(x[:, i:i + height, j:j + width] @ weights[i, j]
             for i in range(edge) for j in range(edge))
