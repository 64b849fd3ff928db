"""Partitioned convolutions against tf.nn on one device."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import convolution
from mtf_unet.mtf_compat import mtf
from tests.mtf_unet import lowered

_OUTPUT = mtf.Dimension('filters', 4)
_X3D = np.random.RandomState(0).randn(2, 8, 12, 4, 3).astype(np.float32)
_X2D = _X3D[:, :, :, 0]

# kernel size, stride, dilation. Blocks are 2 voxels thin on most meshes, so
# that the 5, 7 and 9 wide filters reach past the nearest neighbour.
_GEOMETRIES = {
    'kernel 3': (3, 1, 1),
    'kernel 1': (1, 1, 1),
    'kernel 9, halo above block': (9, 1, 1),
    'kernel 3, stride 2': (3, 2, 1),
    'kernel 7, stride 2': (7, 2, 1),
    'kernel 2, stride 2': (2, 2, 1),
    'kernel 1, stride 2': (1, 2, 1),
    'kernel 3, dilation 2': (3, 1, 2),
    'by axis': ((3, 1, 5), (2, 1, 1), 1),
}
_TRANSPOSED = {
    'kernel 2, stride 2': (2, 2),
    'kernel 4, stride 2': (4, 2),
    'kernel 3, stride 2': (3, 2),
    'kernel 3, stride 3': (3, 3),
    'kernel 5, stride 1': (5, 1),
}


def _parametrized(names, table):
  return pytest.mark.parametrize(names, table.values(), ids=table.keys())


def _per_axis(value, rank):
  return (value,) * rank if isinstance(value, int) else tuple(value)


def _spread_filter(kernel, dilation):
  """The dense filter that a dilated one stands for."""
  rank, size = kernel.shape.rank - 2, kernel.shape[0]
  tail = kernel.shape[-2:]
  taps = list(itertools.product(range(0, size * dilation, dilation),
                                repeat=rank))
  edge = (size - 1) * dilation + 1
  return tf.scatter_nd(taps, tf.reshape(kernel, [-1, *tail]),
                       [edge] * rank + list(tail))


def _plain_convolution(strides, dilation):
  def function(x, kernel):
    rank = x.shape.rank - 2
    if dilation > 1:
      # TensorFlow's CPU kernel has no gradient for dilated 3-D filters.
      kernel = _spread_filter(kernel, dilation)
    steps = [1, *_per_axis(strides, rank), 1]
    return {3: tf.nn.conv3d, 2: tf.nn.conv2d}[rank](x, kernel, steps, 'SAME')
  return function


def _plain_transposed(stride):
  def function(x, kernel):
    transpose = {5: tf.nn.conv3d_transpose, 4: tf.nn.conv2d_transpose}
    shape = [x.shape[0], *(n * stride for n in x.shape[1:-1]),
             kernel.shape[-2]]
    return transpose[x.shape.rank](x, kernel, shape, stride, 'SAME')
  return function


def _check_convolution(x, mesh, geometry):
  kernel, strides, dilation = geometry
  came = lowered.run_layer(
      lambda t: convolution.convolution(
          t, _OUTPUT, kernel_size=kernel, strides=strides, dilations=dilation,
          variable_dtype=lowered.FLOAT32), x, mesh)
  lowered.assert_equal(came, lowered.plain(
      _plain_convolution(strides, dilation), x, came))


def _check_transposed(x, mesh, geometry):
  kernel, stride = geometry
  came = lowered.run_layer(
      lambda t: convolution.transposed_convolution(
          t, _OUTPUT, kernel_size=kernel, strides=stride,
          variable_dtype=lowered.FLOAT32), x, mesh)
  lowered.assert_equal(came, lowered.plain(_plain_transposed(stride), x, came))


@_parametrized('mesh', lowered.MESHES)
@_parametrized('geometry', _GEOMETRIES)
def test_convolution_equals_tf_nn(mesh, geometry):
  _check_convolution(_X3D, mesh, geometry)


@_parametrized('mesh', lowered.MORE_MESHES)
def test_convolution_on_other_meshes_equals_tf_nn(mesh):
  _check_convolution(_X3D, mesh, (5, 1, 1))


@_parametrized('mesh', lowered.MESHES_2D)
@_parametrized('geometry', {
    name: geometry for name, geometry in _GEOMETRIES.items()
    if isinstance(geometry[0], int)})
def test_convolution_in_two_dimensions_equals_tf_nn(mesh, geometry):
  _check_convolution(_X2D, mesh, geometry)


@_parametrized('mesh', lowered.MESHES)
@_parametrized('geometry', _TRANSPOSED)
def test_transposed_convolution_equals_tf_nn(mesh, geometry):
  _check_transposed(_X3D, mesh, geometry)


@_parametrized('mesh', lowered.MORE_MESHES)
def test_transposed_convolution_on_other_meshes_equals_tf_nn(mesh):
  _check_transposed(_X3D, mesh, (4, 2))


@_parametrized('mesh', lowered.MESHES_2D)
def test_transposed_convolution_in_two_dimensions_equals_tf_nn(mesh):
  _check_transposed(_X2D, mesh, (4, 2))


def test_even_kernel_is_refused():
  with pytest.raises(ValueError, match='kernel_size: got 4'):
    lowered.run_layer(
        lambda t: convolution.convolution(
            t, _OUTPUT, kernel_size=4, variable_dtype=lowered.FLOAT32),
        _X3D, lowered.MESHES['1x1x1'])


def test_stride_that_does_not_divide_is_refused():
  with pytest.raises(ValueError, match='3 does not divide the 8 voxels'):
    lowered.run_layer(
        lambda t: convolution.convolution(
            t, _OUTPUT, kernel_size=3, strides=3,
            variable_dtype=lowered.FLOAT32), _X3D, lowered.MESHES['1x1x1'])


def test_transposed_kernel_below_its_stride_is_refused():
  with pytest.raises(ValueError, match='at least the strides'):
    lowered.run_layer(
        lambda t: convolution.transposed_convolution(
            t, _OUTPUT, kernel_size=1, strides=2,
            variable_dtype=lowered.FLOAT32), _X3D, lowered.MESHES['1x1x1'])
