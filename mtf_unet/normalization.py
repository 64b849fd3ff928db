"""Batch and instance norm over the whole mesh, activation and dropout in one.

  y = mask / keep * leaky_relu(gamma (x - mean) / sqrt(variance + eps) + beta)

The three are one operation because its gradient then needs x and the mask
alone: neither the normalised nor the activated tensor is kept. `gamma` and
`beta` carry 1 / keep, which passes through the activation as it is positive.

Statistics are float32 whatever x is. Each block computes its own mean and
variance (two passes in one kernel), which are then joined over the mesh:
  mean = avg(mean_i),  variance = avg(variance_i + (mean_i - mean)^2),
free of the cancellation in E[x^2] - E[x]^2.

Dimensions: b batch, s all spatial dims, c channels. Batch norm reduces b and
s, instance norm s alone.
"""

from collections.abc import Callable
import dataclasses
import math

import tensorflow as tf

from mtf_unet import convolution
from mtf_unet import dropout as dropout_lib
from mtf_unet import norm_kernels
from mtf_unet import recomputation
from mtf_unet.mtf_compat import mtf


@dataclasses.dataclass(frozen=True)
class _Settings:
  epsilon: float
  slope: float
  per_sample: bool
  dropout: dropout_lib.Dropout | None

  @property
  def scale(self) -> float:
    return self.dropout.scale if self.dropout else 1.0


def _each_sample(function, per_sample, large, channelwise):
  """Calls function(*large, *channelwise) for the batch or sample by sample.

  Args:
    function: returns a tuple of tensors.
    per_sample: call it with each sample, [1, *spatial, c], and its own row of
      the channelwise tensors instead.
    large: tensors [b, *spatial, c].
    channelwise: tensors [c] or, by sample, [b, c].

  Returns:
    The function's results; by sample, those of rank 1 are stacked to [b, c].
  """
  if not per_sample:
    return function(*large, *channelwise)
  count = large[0].shape[0]
  samples = [tf.split(x, count) for x in large]
  rows = [tf.unstack(value, count) for value in channelwise]
  results = [function(*arguments) for arguments in zip(*samples, *rows)]
  return tuple(
      tf.stack(column) if column[0].shape.rank == 1 else tf.concat(column, 0)
      for column in zip(*results))


def _constants(mesh_impl, statistic: mtf.Tensor):
  """Zeros and ones like a statistic, once for all blocks of a memory."""
  shape = mesh_impl.slice_shape(statistic.shape)
  return mesh_impl.slicewise(lambda: (tf.zeros(shape), tf.ones(shape)))


def _local_moments(x, zero, one):
  mean, variance = norm_kernels.moments(x, zero, one)
  count = math.prod(x.shape.as_list()[:-1])
  return mean, variance * ((count - 1) / count)


class MomentsOperation(mtf.Operation):
  """Mean and variance over the whole mesh, float32, [c] or [b, c]."""

  def __init__(self, x, settings):
    super().__init__([x], name='moments')
    self._settings = settings
    dims = x.shape.dims
    shape = mtf.Shape(([dims[0]] if settings.per_sample else []) + [dims[-1]])
    self._outputs = [mtf.Tensor(self, shape, tf.float32) for _ in range(2)]

  @property
  def has_gradient(self):
    # NormalizeOperation's gradient holds that of its statistics.
    return False

  def lower(self, lowering):
    mesh_impl, (x,) = lowering.mesh_impl(self), self.inputs
    mean, variance = mesh_impl.slicewise(
        lambda x, *constants: _each_sample(
            _local_moments, self._settings.per_sample, [x], constants),
        lowering.tensors[x], *_constants(mesh_impl, self.outputs[0]))
    axes = _statistics_axes(mesh_impl, x.shape, self._settings)
    blocks = math.prod(mesh_impl.shape[axis].size for axis in axes)
    if axes:
      local = mean
      mean = mesh_impl.slicewise(
          lambda m: m / blocks, mesh_impl.allreduce(mean, axes, 'SUM'))
      spread = mesh_impl.slicewise(
          lambda v, m, whole: (v + tf.square(m - whole)) / blocks,
          variance, local, mean)
      variance = mesh_impl.allreduce(spread, axes, 'SUM')
    lowering.set_tensor_lowering(self.outputs[0], mean)
    lowering.set_tensor_lowering(self.outputs[1], variance)


def _statistics_axes(mesh_impl, shape, settings):
  """Mesh axes over which the statistics are joined."""
  dims = shape.dims[1:-1] if settings.per_sample else shape.dims[:-1]
  return convolution.split_axes(mesh_impl, mtf.Shape(dims))


class NormalizeOperation(recomputation.Recomputable):
  """The block's formula; outputs y and, with dropout, the mask."""

  def __init__(self, x, gamma, beta, mean, variance, settings, *, frozen):
    super().__init__([x, gamma, beta, mean, variance], name='normalize')
    self._settings, self._frozen = settings, frozen
    self._outputs = [mtf.Tensor(self, x.shape, x.dtype)]
    if settings.dropout:
      self._outputs.append(mtf.Tensor(self, x.shape, tf.bool))

  def gradient(self, grad_ys):
    settings, (dy, *_) = self._settings, grad_ys
    mask = [dropout_lib.mask_for_gradient(self, settings.dropout, dy)
            ] if settings.dropout else []
    operation = NormalizeGradientOperation(
        dy, self.inputs, mask, settings, frozen=self._frozen)
    return operation.outputs + [None, None]

  def compute(self, lowering, *blocks):
    mesh_impl, settings = lowering.mesh_impl(self), self._settings
    (x,), masks = blocks, []
    channelwise = list(map(lowering.tensors.get, self.inputs[1:]))
    if settings.dropout:
      masks = [settings.dropout.masks(mesh_impl, x, self.inputs[0].shape,
                                      self.name)]

    def local(x, scale, offset, zero, one, *mask):
      y = _affine(x, scale, offset, zero, one, settings)
      if settings.slope != 1.0:
        y = tf.nn.leaky_relu(y, settings.slope)
      return dropout_lib.apply_mask(y, mask[0], 1.0) if mask else y
    y = mesh_impl.slicewise(
        local, x, *_scale_and_offset(mesh_impl, channelwise, settings),
        *_constants(mesh_impl, self.inputs[3]), *masks)
    return y, *masks


def _scale_and_offset(mesh_impl, channelwise, settings):
  """The normalisation as x * scale + offset; 1 / keep is in both."""
  def by_channel(gamma, beta, mean, variance):
    scale = gamma * settings.scale * tf.math.rsqrt(
        variance + settings.epsilon)
    return scale, beta * settings.scale - mean * scale
  return mesh_impl.slicewise(by_channel, *channelwise)


def _affine(x, scale, offset, zero, one, settings):
  return _each_sample(
      lambda *arguments: (norm_kernels.scale_offset(*arguments),),
      settings.per_sample, [x], [scale, offset, zero, one])[0]


class NormalizeGradientOperation(mtf.Operation):
  """Gradients to x, gamma and beta, through the statistics unless frozen.

  With g = dy through mask and activation, N voxels in a statistic,
  x^ = (x - mean) / sqrt(variance + eps) and sums over the whole mesh:
    dbeta = sum g,  dgamma = sum g x^,
    dx = gamma / sqrt(variance + eps) (g - dbeta / N - x^ dgamma / N).
  """

  def __init__(self, dy, inputs, mask, settings, *, frozen):
    super().__init__([dy, *inputs, *mask], name='normalize_gradient')
    self._settings, self._frozen = settings, frozen
    x, gamma, beta = inputs[:3]
    self._outputs = [mtf.Tensor(self, t.shape, t.dtype)
                     for t in (x, gamma, beta)]

  @property
  def has_gradient(self):
    return False

  def lower(self, lowering):
    mesh_impl, settings = lowering.mesh_impl(self), self._settings
    dy, x, gamma, beta, mean, variance, *mask = map(
        lowering.tensors.get, self.inputs)
    shape = self.inputs[0].shape
    constants = _constants(mesh_impl, self.inputs[4])
    g = dy
    if mask or settings.slope != 1.0:
      scale, offset = _scale_and_offset(
          mesh_impl, [gamma, beta, mean, variance], settings)
      g = mesh_impl.slicewise(
          lambda *arguments: _through_activation(*arguments, settings),
          dy, x, scale, offset, *constants, *mask)
    gammas = mesh_impl.slicewise(lambda g, one: g * one, gamma, constants[1])
    axes = _statistics_axes(mesh_impl, shape, settings)
    # Where a block holds all of a statistic, the kernel's own gradient does
    # everything in one call. On a GPU that call wants the inverse deviation.
    whole = not self._frozen and not axes and not any(
        'gpu' in device.lower() for device in mesh_impl.devices)
    dx, dgamma, dbeta = mesh_impl.slicewise(
        lambda g, x, *rest: _each_sample(
            lambda *arguments: _local_gradient(
                *arguments, settings, through_statistics=whole),
            settings.per_sample, [g, x], rest),
        g, x, gammas, mean, variance)
    dgamma = mesh_impl.allreduce(dgamma, axes, 'SUM')
    dbeta = mesh_impl.allreduce(dbeta, axes, 'SUM')
    if not self._frozen and not whole:
      dx = self._through_statistics(mesh_impl, dx, x, gammas, mean, variance,
                                    dgamma, dbeta, constants)
    if settings.per_sample:
      batch = convolution.split_axes(mesh_impl, mtf.Shape(shape.dims[:1]))
      dgamma, dbeta = [
          mesh_impl.allreduce(mesh_impl.slicewise(
              lambda value: tf.reduce_sum(value, 0), value), batch, 'SUM')
          for value in (dgamma, dbeta)]
    for output, value in zip(self.outputs, (dx, dgamma, dbeta)):
      lowering.set_tensor_lowering(output, value)

  def _through_statistics(self, mesh_impl, dx, x, gamma, mean, variance,
                          dgamma, dbeta, constants):
    """Takes off what flows back through mean and variance."""
    settings, dims = self._settings, self.inputs[0].shape.dims
    count = math.prod(
        dim.size for dim in dims[1 if settings.per_sample else 0:-1])

    def by_channel(gamma, mean, variance, dgamma, dbeta):
      inverse = tf.math.rsqrt(variance + settings.epsilon)
      scale = gamma * tf.square(inverse) * dgamma / count
      return scale, gamma * inverse * dbeta / count - scale * mean
    scale, offset = mesh_impl.slicewise(by_channel, gamma, mean, variance,
                                        dgamma, dbeta)
    return mesh_impl.slicewise(
        lambda dx, *rest: dx - _affine(*rest, settings),
        dx, x, scale, offset, *constants)


def _through_activation(dy, x, scale, offset, zero, one, *rest):
  *mask, settings = rest
  if mask:
    dy = dropout_lib.apply_mask(dy, mask[0], settings.scale)
  if settings.slope == 1.0:
    return dy
  # Computed again rather than kept: one pass against a whole activation. The
  # dependency keeps TensorFlow from doing it in the forward pass already.
  with tf.control_dependencies([dy]):
    features = _affine(x, scale, offset, zero, one, settings)
  return tf.raw_ops.LeakyReluGrad(gradients=dy, features=features,
                                  alpha=settings.slope)


def _local_gradient(g, x, gamma, mean, variance, settings, *,
                    through_statistics):
  """dx, with the statistics held or not, and this block's dgamma, dbeta."""
  result = tf.raw_ops.FusedBatchNormGradV3(
      y_backprop=g, x=x, scale=gamma, reserve_space_1=mean,
      reserve_space_2=variance, reserve_space_3=[], epsilon=settings.epsilon,
      is_training=through_statistics, data_format=norm_kernels.data_format(x))
  return result.x_backprop, result.scale_backprop, result.offset_backprop


@dataclasses.dataclass(frozen=True)
class Normalization:
  """What every normalised layer of a network has in common.

  Attributes:
    kind: 'batch' or 'instance'.
    training: use the batch's own statistics; else batch norm uses the moving
      ones, and instance norm still its own.
    momentum: of batch norm's moving averages.
    epsilon: added to the variance.
    slope: of the leaky ReLU below zero; 1 for no activation.
    add_update: receives the mtf.Operations that update moving averages.
  """
  kind: str
  training: bool
  momentum: float
  epsilon: float
  slope: float
  add_update: Callable[[mtf.Operation], None]


def normalize(x: mtf.Tensor, how: Normalization,
              dropout: dropout_lib.Dropout | None = None) -> mtf.Tensor:
  """Normalises, activates and, where given, drops.

  Makes the variables gamma (ones) and beta (zeros) and, for batch norm,
  moving_mean (zeros) and moving_variance (ones) in the current scope.

  Args:
    x: [batch, *spatial, channels].
    how: the settings.
    dropout: applied after the activation.

  Returns:
    A tensor of x's shape and dtype.
  """
  if dropout is not None and not dropout.active:
    dropout = None
  settings = _Settings(how.epsilon, how.slope, how.kind == 'instance', dropout)
  channels = x.shape.dims[-1]

  def variable(name, initial, trainable):
    return mtf.get_variable(
        x.mesh, name, mtf.Shape([channels]), dtype=tf.float32,
        initializer=tf.compat.v1.constant_initializer(initial),
        trainable=trainable)
  gamma, beta = variable('gamma', 1.0, True), variable('beta', 0.0, True)
  if settings.per_sample:
    mean, variance = MomentsOperation(x, settings).outputs
  else:
    moving = [variable('moving_mean', 0.0, False),
              variable('moving_variance', 1.0, False)]
    if how.training:
      mean, variance = MomentsOperation(x, settings).outputs
      for average, value in zip(moving, (mean, variance)):
        how.add_update(mtf.assign(
            average, average * how.momentum + value * (1 - how.momentum)))
    else:
      mean, variance = moving
  frozen = not (settings.per_sample or how.training)
  return NormalizeOperation(x, gamma, beta, mean, variance, settings,
                            frozen=frozen).outputs[0]
