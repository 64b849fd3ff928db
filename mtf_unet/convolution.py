"""Convolutions over split space (arXiv:1909.03108, halo exchange).

A tensor is [batch, *spatial, channels] with two or three spatial dims, each
of which the layout may split. Padding is SAME, as TensorFlow defines it. A
convolution, the gradient to its input (which is the transposed convolution)
and the gradient to its filter are three operations, each widening its blocks
by just the margin it reads (`window` has the formulas).
"""

from collections.abc import Sequence

import tensorflow as tf

from mtf_unet import halo
from mtf_unet import recomputation
from mtf_unet import window
from mtf_unet.mtf_compat import mtf

# One for all spatial dims, or one for each.
Sizes = int | Sequence[int]


def _is_split(mesh_impl, shape) -> bool:
  return any(mesh_impl.tensor_dimension_to_mesh_axis(dim) is not None
             for dim in shape.dims[1:-1])


def _convolve(x, w, geometry, padding):
  function = tf.nn.conv3d if x.shape.rank == 5 else tf.nn.conv2d
  return function(x, w, geometry.strides, padding,
                  dilations=geometry.dilations)


def _backprop_input(input_shape, w, dy, geometry, padding):
  if dy.shape.rank == 5:
    return tf.raw_ops.Conv3DBackpropInputV2(
        input_sizes=input_shape, filter=w, out_backprop=dy,
        strides=geometry.strides, padding=padding,
        dilations=geometry.dilations)
  return tf.raw_ops.Conv2DBackpropInput(
      input_sizes=input_shape, filter=w, out_backprop=dy,
      strides=geometry.strides, padding=padding, dilations=geometry.dilations)


def _backprop_filter(x, filter_shape, dy, geometry, padding):
  if dy.shape.rank == 5:
    return tf.raw_ops.Conv3DBackpropFilterV2(
        input=x, filter_sizes=filter_shape, out_backprop=dy,
        strides=geometry.strides, padding=padding,
        dilations=geometry.dilations)
  return tf.raw_ops.Conv2DBackpropFilter(
      input=x, filter_sizes=filter_shape, out_backprop=dy,
      strides=geometry.strides, padding=padding, dilations=geometry.dilations)


class ConvolutionOperation(mtf.Operation):
  """y = x * w.

  Once lowered, `widened` holds the blocks with their margins, which the filter
  gradient takes instead of exchanging again: what it reads, and no more, then
  stays in memory in place of x. Where x is one that is computed again, its
  margins are exchanged again as well.
  """

  def __init__(self, x, w, output_shape, geometry, name='convolution'):
    super().__init__([x, w], name=name)
    self._geometry = geometry
    self._outputs = [mtf.Tensor(self, output_shape, x.dtype)]

  def gradient(self, grad_ys):
    (dy,), (x, w) = grad_ys, self.inputs
    dw = FilterGradientOperation(x, dy, w.shape, self._geometry,
                                 convolution=self)
    dx = InputGradientOperation(
        dy, w, x.shape, self._geometry,
        follows=dw if recomputation.is_recomputed(x) else None)
    return [dx.outputs[0], dw.outputs[0]]

  def lower(self, lowering):
    mesh_impl, geometry = lowering.mesh_impl(self), self._geometry
    x, w = self.inputs
    self.widened, padding = _widened(mesh_impl, lowering.tensors[x], x.shape,
                                     geometry)
    lowering.set_tensor_lowering(self.outputs[0], mesh_impl.slicewise(
        lambda x, w: _convolve(x, w, geometry, padding),
        self.widened, lowering.tensors[w]))


def _widened(mesh_impl, blocks, shape, geometry):
  """Blocks of x with the margins that are read, and the padding left to do."""
  if not _is_split(mesh_impl, shape):
    return blocks, 'SAME'
  return halo.exchange(mesh_impl, blocks, shape.dims[1:-1],
                       geometry.input_margins), 'VALID'


class InputGradientOperation(recomputation.Recomputable):
  """The gradient of a convolution to its input: a transposed convolution.

  It waits for the filter gradient that it `follows`, if any, so that an input
  computed again has gone before the gradient to it is there.
  """

  def __init__(self, dy, w, input_shape, geometry, follows=None,
               name='convolution_input_gradient'):
    super().__init__([dy, w], name=name)
    self._geometry, self._follows = geometry, follows
    self._outputs = [mtf.Tensor(self, input_shape, dy.dtype)]

  def gradient(self, grad_ys):
    (dx,), (dy, w) = grad_ys, self.inputs
    return [
        ConvolutionOperation(dx, w, dy.shape, self._geometry).outputs[0],
        FilterGradientOperation(dx, dy, w.shape, self._geometry).outputs[0]]

  def compute(self, lowering, *blocks):
    mesh_impl, geometry = lowering.mesh_impl(self), self._geometry
    dy, w = self.inputs
    shape = mesh_impl.slice_shape(self.outputs[0].shape)
    (blocks,), filters = blocks, lowering.tensors[w]
    if self._follows:
      blocks = recomputation.gated(mesh_impl, blocks, self._follows.local)
    if not _is_split(mesh_impl, dy.shape):
      local = lambda dy, w: _backprop_input(shape, w, dy, geometry, 'SAME')
    else:
      blocks = halo.exchange(mesh_impl, blocks, dy.shape.dims[1:-1],
                             geometry.output_margins)
      if geometry.unit_stride:
        # The input gradient then is a convolution by the turned filter.
        filters = mesh_impl.slicewise(_turned, filters)
        local = lambda dy, w: _convolve(dy, w, geometry, 'VALID')
      else:
        local = _cropped_transposed_convolution(shape, geometry)
    return (mesh_impl.slicewise(local, blocks, filters),)


def _turned(w):
  """Reverses a filter in space and swaps its channels."""
  spatial = list(range(w.shape.rank - 2))
  return tf.transpose(tf.reverse(w, spatial),
                      spatial + [len(spatial) + 1, len(spatial)])


def _cropped_transposed_convolution(shape, geometry):
  """Spreads the widened dy as far as it reaches, then cuts the block out."""
  begins = [before * axis.stride + axis.input_margin[0]
            for axis, (before, _) in zip(geometry.axes,
                                         geometry.output_margins)]

  def local(dy, w):
    reach = [(n - 1) * axis.stride + axis.extent + 1
             for n, axis in zip(dy.shape.as_list()[1:-1], geometry.axes)]
    full = [max(r, begin + n) for r, begin, n in zip(reach, begins,
                                                     shape[1:-1])]
    dx = _backprop_input([shape[0], *full, shape[-1]], w, dy, geometry,
                         'VALID')
    return tf.slice(dx, [0, *begins, 0], shape)
  return local


class FilterGradientOperation(mtf.Operation):
  """The gradient of a convolution to its filter, summed over the blocks.

  Once lowered, `local` holds each block's part of the sum.
  """

  def __init__(self, x, dy, filter_shape, geometry, convolution=None,
               name='convolution_filter_gradient'):
    super().__init__([x, dy], name=name)
    self._geometry, self._convolution = geometry, convolution
    self._outputs = [mtf.Tensor(self, filter_shape, x.dtype)]

  @property
  def has_gradient(self):
    return False

  def lower(self, lowering):
    mesh_impl, geometry = lowering.mesh_impl(self), self._geometry
    x, dy = self.inputs
    shape = mesh_impl.slice_shape(self.outputs[0].shape)
    # At most one of the two is of the forward pass; the other one comes down.
    dy_blocks = recomputation.again(lowering, dy, lowering.tensors[x])
    if self._convolution and not recomputation.is_recomputed(x):
      blocks = self._convolution.widened
      padding = 'VALID' if _is_split(mesh_impl, x.shape) else 'SAME'
    else:
      blocks, padding = _widened(
          mesh_impl, recomputation.again(lowering, x, lowering.tensors[dy]),
          x.shape, geometry)
    self.local = mesh_impl.slicewise(
        lambda x, dy: _backprop_filter(x, shape, dy, geometry, padding),
        blocks, dy_blocks)
    lowering.set_tensor_lowering(self.outputs[0], mesh_impl.allreduce(
        self.local, split_axes(mesh_impl, x.shape), 'SUM'))


def split_axes(mesh_impl: mtf.MeshImpl, shape: mtf.Shape) -> list[int]:
  """Lists the mesh axes along which a tensor of this shape is cut."""
  axes = map(mesh_impl.tensor_dimension_to_mesh_axis, shape.dims)
  return [axis for axis in axes if axis is not None]


def _filter(x, kernel, dims, variable_dtype):
  """The filter variable, [*kernel, dims[0], dims[1]], Glorot uniform."""
  names = ['kernel_x', 'kernel_y', 'kernel_z'][:len(kernel)]
  shape = mtf.Shape([*map(mtf.Dimension, names, kernel), *dims])
  return mtf.get_variable(
      x.mesh, 'kernel', shape, dtype=variable_dtype,
      initializer=tf.compat.v1.glorot_uniform_initializer())


def _per_axis(value, x, name) -> tuple[int, ...]:
  rank = len(x.shape.dims) - 2
  values = (value,) * rank if isinstance(value, int) else tuple(value)
  if len(values) != rank or any(v < 1 for v in values):
    raise ValueError(
        f'{name}: got {value!r}, expected a positive whole number, or one for '
        f'each of the {rank} spatial dims')
  return values


def convolution(x: mtf.Tensor, output_dim: mtf.Dimension, *,
                kernel_size: Sizes, strides: Sizes = 1, dilations: Sizes = 1,
                variable_dtype: mtf.VariableDType) -> mtf.Tensor:
  """Convolves with SAME padding and no bias.

  Args:
    x: [batch, *spatial, channels], two or three spatial dims.
    output_dim: the channel dim of the result; its name differs from x's.
    kernel_size: a whole number, or one for each spatial dim; odd, or any size
      where the stride is as large.
    strides: likewise; each must divide the block's edge.
    dilations: likewise.
    variable_dtype: dtypes of the filter; its activation dtype is x's.

  Returns:
    [batch, *(spatial / strides), output_dim].

  Raises:
    ValueError: for sizes that do not fit, naming them.
  """
  kernel = _per_axis(kernel_size, x, 'kernel_size')
  geometry = window.Geometry.of(kernel, _per_axis(strides, x, 'strides'),
                         _per_axis(dilations, x, 'dilations'))
  spatial = []
  for dim, axis in zip(x.shape.dims[1:-1], geometry.axes):
    if axis.kernel % 2 == 0 and axis.kernel != axis.stride:
      raise ValueError(f'kernel_size: got {kernel_size!r}, expected odd sizes')
    if dim.size % axis.stride:
      raise ValueError(
          f'strides: {axis.stride} does not divide the {dim.size} voxels '
          f'along {dim.name}')
    spatial.append(mtf.Dimension(dim.name, dim.size // axis.stride))
  w = _filter(x, kernel, [x.shape.dims[-1], output_dim], variable_dtype)
  shape = mtf.Shape([x.shape.dims[0], *spatial, output_dim])
  return ConvolutionOperation(x, w, shape, geometry).outputs[0]


def transposed_convolution(x: mtf.Tensor, output_dim: mtf.Dimension, *,
                           kernel_size: Sizes, strides: Sizes,
                           variable_dtype: mtf.VariableDType) -> mtf.Tensor:
  """Spreads x by a transposed convolution with SAME padding and no bias.

  Args:
    x: [batch, *spatial, channels].
    output_dim: the channel dim of the result.
    kernel_size: at least the stride: a whole number, or one for each dim.
    strides: likewise.
    variable_dtype: dtypes of the filter, [*kernel, output, input].

  Returns:
    [batch, *(spatial * strides), output_dim].

  Raises:
    ValueError: for sizes that do not fit, naming them.
  """
  kernel = _per_axis(kernel_size, x, 'kernel_size')
  strides = _per_axis(strides, x, 'strides')
  if any(k < s for k, s in zip(kernel, strides)):
    raise ValueError(
        f'kernel_size: got {kernel_size!r}, expected at least the strides '
        f'{strides}')
  geometry = window.Geometry.of(kernel, strides, (1,) * len(kernel))
  spatial = [mtf.Dimension(dim.name, dim.size * stride)
             for dim, stride in zip(x.shape.dims[1:-1], strides)]
  w = _filter(x, kernel, [output_dim, x.shape.dims[-1]], variable_dtype)
  shape = mtf.Shape([x.shape.dims[0], *spatial, output_dim])
  return InputGradientOperation(
      x, w, shape, geometry, name='transposed_convolution').outputs[0]
