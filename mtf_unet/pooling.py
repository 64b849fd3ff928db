"""Max and average pooling with windows that do not overlap.

A window never crosses a block, so nothing is exchanged. Where maxima tie, the
gradient goes to the first of them in the order of the voxels; TensorFlow's own
CPU kernel gives every one of them the full value.
"""

from collections.abc import Sequence
import itertools
import math

import tensorflow as tf

from mtf_unet import recomputation
from mtf_unet.mtf_compat import mtf


def _window_axes(windows):
  """Axes of the window voxels after `_unfold`."""
  return list(range(2, 2 + 2 * len(windows), 2))


def _unfold(x, windows):
  """[batch, X, .., c] to [batch, X/w, w, .., c]."""
  shape = x.shape.as_list()
  folded = [shape[0]]
  for size, window in zip(shape[1:-1], windows):
    folded += [size // window, window]
  return tf.reshape(x, folded + [shape[-1]])


def _corners(x, windows):
  """The window's voxels in their order, each [batch, X/w, .., c]."""
  unfolded = _unfold(x, windows)
  axes = _window_axes(windows)
  for offsets in itertools.product(*map(range, windows)):
    index = [slice(None)] * unfolded.shape.rank
    for axis, offset in zip(axes, offsets):
      index[axis] = offset
    yield unfolded[tuple(index)]


def _interleave(corners, windows, shape):
  """The inverse of `_corners`."""
  small = corners[0].shape.as_list()
  stacked = tf.reshape(tf.stack(corners), [*windows, *small])
  rank = len(windows)
  order = [rank]
  for axis in range(rank):
    order += [rank + 1 + axis, axis]
  return tf.reshape(tf.transpose(stacked, order + [2 * rank + 1]), shape)


def _pool(x, windows, kind):
  function = {3: {'max': tf.nn.max_pool3d, 'average': tf.nn.avg_pool3d},
              2: {'max': tf.nn.max_pool2d, 'average': tf.nn.avg_pool2d}}
  return function[len(windows)][kind](x, windows, windows, 'VALID')


def _max_gradient(x, y, dy, windows):
  free = tf.ones_like(y, tf.bool)
  parts = []
  for corner in _corners(x, windows):
    hit = tf.logical_and(free, tf.equal(corner, y))
    parts.append(tf.where(hit, dy, tf.zeros_like(dy)))
    free = tf.logical_and(free, tf.logical_not(hit))
  return _interleave(parts, windows, x.shape.as_list())


def _average_gradient(x, y, dy, windows):
  del x, y
  dy = dy / tf.cast(math.prod(windows), dy.dtype)
  for axis, window in enumerate(windows, start=1):
    dy = tf.repeat(dy, window, axis)
  return dy


class PoolOperation(recomputation.Recomputable):
  """y = the maximum or average of each window."""

  def __init__(self, x, windows, kind):
    super().__init__([x], name=f'{kind}_pool')
    self._windows, self._kind = windows, kind
    spatial = [mtf.Dimension(dim.name, dim.size // window)
               for dim, window in zip(x.shape.dims[1:-1], windows)]
    shape = mtf.Shape([x.shape.dims[0], *spatial, x.shape.dims[-1]])
    self._outputs = [mtf.Tensor(self, shape, x.dtype)]

  def gradient(self, grad_ys):
    return PoolGradientOperation(
        self.inputs[0], self.outputs[0], grad_ys[0], self._windows,
        self._kind).outputs

  def compute(self, lowering, *blocks):
    return (lowering.mesh_impl(self).slicewise(
        lambda x: _pool(x, self._windows, self._kind), *blocks),)


class PoolGradientOperation(mtf.Operation):
  """The gradient of a pooling to its input."""

  def __init__(self, x, y, dy, windows, kind):
    super().__init__([x, y, dy], name=f'{kind}_pool_gradient')
    self._windows = windows
    self._function = {'max': _max_gradient, 'average': _average_gradient}[kind]
    self._outputs = [mtf.Tensor(self, x.shape, x.dtype)]

  @property
  def has_gradient(self):
    return False

  def lower(self, lowering):
    x, y, dy = self.inputs
    dy_blocks = lowering.tensors[dy]
    x_blocks = recomputation.again(lowering, x, dy_blocks)
    if recomputation.is_recomputed(y):
      y_blocks, = y.operation.compute(lowering, x_blocks)
    else:
      y_blocks = lowering.tensors[y]
    lowering.set_tensor_lowering(
        self.outputs[0], lowering.mesh_impl(self).slicewise(
            lambda x, y, dy: self._function(x, y, dy, self._windows),
            x_blocks, y_blocks, dy_blocks))


def _check_windows(x, windows):
  dims = x.shape.dims[1:-1]
  if len(windows) != len(dims) or any(w < 1 for w in windows):
    raise ValueError(
        f'windows: got {windows!r}, expected one positive whole number for '
        f'each of the {len(dims)} spatial dims')
  for dim, window in zip(dims, windows):
    if dim.size % window:
      raise ValueError(f'windows: {window} does not divide the {dim.size} '
                       f'voxels along {dim.name}')


def max_pool(x: mtf.Tensor, windows: Sequence[int]) -> mtf.Tensor:
  """Takes each window's maximum.

  Args:
    x: [batch, *spatial, channels].
    windows: window and stride along each spatial dim; divides each block.

  Returns:
    [batch, *(spatial / windows), channels].
  """
  _check_windows(x, windows)
  return PoolOperation(x, list(windows), 'max').outputs[0]


def average_pool(x: mtf.Tensor, windows: Sequence[int]) -> mtf.Tensor:
  """Takes each window's average; as `max_pool` otherwise."""
  _check_windows(x, windows)
  return PoolOperation(x, list(windows), 'average').outputs[0]
