"""The network in Keras, and its exchange with plain arrays.

  [sample / 2^depth, qp / 64]
    -> (3x3 convolution -> batch norm -> ReLU) x 7
    -> 3x3 convolution with bias -> times residual_scale = residual

Song et al., arXiv:1805.06121: 8 layers of 64 filters, residual learning, one
network for all QPs and components. Ours: the last layer starts at zero and
its output is scaled, because the residual is about 1 % of the range and would
drown in what a usual start puts out.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses

import numpy as np
import tensorflow as tf

from cnn_loopfilter import config as config_lib
from cnn_loopfilter import float_filter


def inputs(reconstruction: tf.Tensor, qp: tf.Tensor) -> tf.Tensor:
  """Joins what the network sees.

  Args:
    reconstruction: float32 [batch, height, width, 1], sample / 2^depth.
    qp: [batch], the frame's QP, 0 to 63; the same for all components.

  Returns:
    float32 [batch, height, width, 2], both channels in [0, 1).
  """
  plane = tf.cast(qp, tf.float32) / float_filter.QP_RANGE
  plane = tf.reshape(plane, [-1, 1, 1, 1]) * tf.ones_like(reconstruction)
  return tf.concat([reconstruction, plane], axis=-1)


def build(config: config_lib.NetworkConfig, seed: int = 0) -> tf.keras.Model:
  """Builds the network at its start, which is a function of `seed`.

  Inside an Estimator's graph the batch norm's updates are in `model.updates`
  and have to be run by the training step.

  Returns:
    Model from [batch, height, width, 2] (see `inputs`) to the residual
    [batch, height, width, 1] in units of sample / 2^depth.
  """
  # Samples / 2^8 and qp / 64 are exact in bfloat16; the last layer, whose
  # output counts in the error, is float32 in any case.
  policy = ('mixed_bfloat16' if config.activation_dtype == 'bfloat16'
            else 'float32')
  # Keras takes no seed from the Estimator.
  seeds = np.random.SeedSequence(seed).generate_state(
      len(config.filters) + 1).tolist()
  x = entry = tf.keras.Input([None, None, 2], name='input')
  for i, filters in enumerate(config.filters):
    x = _convolution(config, filters, f'conv_{i}', seeds[i], use_bias=False,
                     dtype=policy)(x)
    x = tf.keras.layers.BatchNormalization(
        momentum=config.batch_norm_momentum,
        epsilon=config.batch_norm_epsilon, fused=True, dtype=policy,
        name=f'norm_{i}')(x)
    x = tf.keras.layers.ReLU(dtype=policy, name=f'relu_{i}')(x)
  start = {'kernel_initializer': 'zeros'} if config.zero_last_layer else {}
  x = _convolution(config, 1, f'conv_{len(config.filters)}', seeds[-1],
                   dtype='float32', **start)(x)
  return tf.keras.Model(entry, tf.keras.layers.Rescaling(
      config.residual_scale, dtype='float32', name='residual')(x))


def _convolution(config, filters, name, seed, **keywords):
  start = tf.keras.initializers.HeNormal(seed)
  return tf.keras.layers.Conv2D(
      filters, config.kernel_size, padding='same', name=name,
      **{'kernel_initializer': start, **keywords})


def network_config(source: float_filter.FloatFilter, **changes
                   ) -> config_lib.NetworkConfig:
  """Returns the config of a network that `source` fits into."""
  norm = source.layers[0].norm
  told = {'filters': source.widths[:-1],
          'kernel_size': source.layers[0].kernel.shape[0],
          'residual_scale': source.residual_scale}
  if norm is not None:
    told['batch_norm_epsilon'] = norm.epsilon
  return config_lib.NetworkConfig(**{**told, **changes})


def variables_of(source: float_filter.FloatFilter) -> dict[str, np.ndarray]:
  """Returns the values of the Keras variables, by name.

  A layer without a norm gets one that changes nothing (up to epsilon, which
  its variance takes into account), a bias before a norm moves into the mean.
  """
  epsilon = network_config(source).batch_norm_epsilon
  values = {}
  for i, layer in enumerate(source.layers):
    values[f'conv_{i}/kernel'] = layer.kernel
    if i == len(source.layers) - 1:
      values[f'conv_{i}/bias'] = layer.bias
      continue
    ones, zeros = np.ones_like(layer.bias), np.zeros_like(layer.bias)
    norm = layer.norm or float_filter.BatchNorm(
        ones, zeros, zeros, ones - np.float32(epsilon), epsilon)
    values |= {f'norm_{i}/gamma': norm.scale, f'norm_{i}/beta': norm.offset,
               f'norm_{i}/moving_mean': norm.mean - layer.bias,
               f'norm_{i}/moving_variance': norm.variance}
  return values


def from_filter(source: float_filter.FloatFilter) -> tf.keras.Model:
  """Builds the Keras model of a trained filter."""
  model = build(network_config(source))
  values = variables_of(source)
  model.set_weights([values[v.name.split(':')[0]] for v in model.weights])
  return model


def to_filter(model: tf.keras.Model, config: config_lib.NetworkConfig, *,
              depth: int = 8, description: Mapping | None = None
              ) -> float_filter.FloatFilter:
  """Reads the weights out of an eager model that `build` made."""
  values = {v.name.split(':')[0]: v.numpy() for v in model.weights}
  return filter_of(config, values.__getitem__, depth=depth,
                   description=description)


def filter_of(config: config_lib.NetworkConfig,
              value: Callable[[str], np.ndarray], *, depth: int = 8,
              description: Mapping | None = None
              ) -> float_filter.FloatFilter:
  """Builds a filter from the values of the variables, by name."""
  layers = []
  for i, filters in enumerate((*config.filters, 1)):
    kernel = value(f'conv_{i}/kernel')
    if i == len(config.filters):
      layers.append(float_filter.Layer(
          kernel, value(f'conv_{i}/bias'), None, relu=False))
      continue
    norm = float_filter.BatchNorm(
        value(f'norm_{i}/gamma'), value(f'norm_{i}/beta'),
        value(f'norm_{i}/moving_mean'), value(f'norm_{i}/moving_variance'),
        config.batch_norm_epsilon)
    layers.append(float_filter.Layer(
        kernel, np.zeros(filters, np.float32), norm))
  return float_filter.FloatFilter(
      tuple(layers), config.residual_scale, depth, dict(description or {}))


def samples(reconstruction: tf.Tensor, residual: tf.Tensor, depth: int
            ) -> tf.Tensor:
  """Adds and returns int32 samples: clipped, rounded half to even.

  Args:
    reconstruction: float32 in units of sample / 2^depth.
    residual: the same shape and unit.
    depth: bits of a sample.
  """
  values = (reconstruction + residual) * 2.0 ** depth
  return tf.cast(tf.round(tf.clip_by_value(values, 0.0, 2.0 ** depth - 1)),
                 tf.int32)


def apply(source: float_filter.FloatFilter) -> Callable:
  """Makes the float runtime of a filter; norms are folded in first.

  Returns:
    Function of a plane (integers [batch, height, width, 1], 0 to 2^depth - 1)
    and qp ([batch]) that returns the filtered int32 samples, same shape. The
    bits depend on the machine; the integer graph's do not.
  """
  layers = [dataclasses.replace(
      layer, kernel=tf.constant(layer.kernel), bias=tf.constant(layer.bias))
            for layer in source.folded().layers]

  @tf.function(input_signature=[
      tf.TensorSpec([None, None, None, 1], tf.int32),
      tf.TensorSpec([None], tf.int32)])
  def run(plane, qp):
    x = reconstruction = tf.cast(plane, tf.float32) * 2.0 ** -source.depth
    x = inputs(x, qp)
    for layer in layers:
      x = tf.nn.bias_add(tf.nn.conv2d(x, layer.kernel, 1, 'SAME'), layer.bias)
      x = tf.nn.relu(x) if layer.relu else x
    return samples(reconstruction, x * source.residual_scale, source.depth)

  return lambda plane, qp: run(tf.cast(plane, tf.int32), tf.cast(qp, tf.int32))


def plane_filter(source: float_filter.FloatFilter
                 ) -> Callable[[np.ndarray, int], np.ndarray]:
  """Makes `apply` take one plane [height, width] and its QP.

  Returns:
    Function of (plane, qp) that keeps the plane's shape and type.
  """
  run = apply(source)

  def filter_plane(plane, qp):
    batch = plane[None, :, :, None].astype(np.int32)
    return run(batch, [qp]).numpy()[0, :, :, 0].astype(plane.dtype)
  return filter_plane
