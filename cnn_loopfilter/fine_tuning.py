"""Trains on through the quantizer, with the straight-through estimator.

The forward pass rounds weights, biases and outputs as the exported filter
does; the backward pass takes rounding for the identity, and lets nothing
through where a value was clamped. The lengths stay as they are.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import os

import numpy as np
import tensorflow as tf

from cnn_loopfilter import config as config_lib
from cnn_loopfilter import dfp
from cnn_loopfilter import float_filter
from cnn_loopfilter import losses
from cnn_loopfilter import network
from cnn_loopfilter import patch_scores
from cnn_loopfilter import quantizer

# Makes the endless batches of the training from a step on.
Patches = Callable[[int], tf.data.Dataset]
_CLASS_BATCHES = 64


@dataclasses.dataclass(frozen=True)
class FineTuning:
  """How long and how fast.

  Attributes:
    steps: of the training; the rate falls to 0 along a cosine.
    learning_rate: of Adam, at the start.
    clip_norm: gradients are scaled to this global norm when above it.
    save_every: steps between checkpoints.
  """
  steps: int
  learning_rate: float = 1e-4
  clip_norm: float = 1.0
  save_every: int = 100


def straight_through(x: tf.Tensor, bits: int, fl: int) -> tf.Tensor:
  """Rounds to multiples of 2^-fl and clamps to `bits` bits, float32.

  The gradient is 1 inside the limits and 0 outside.
  """
  low, high = (limit * 2.0 ** -fl for limit in dfp.limits(bits))
  clamped = tf.clip_by_value(x, low, high)
  rounded = tf.round(clamped * 2.0 ** fl) * 2.0 ** -fl
  return clamped + tf.stop_gradient(rounded - clamped)


class QuantizedConvolution(tf.keras.layers.Layer):
  """One layer of the filter, rounded on the way forward.

  Args:
    start: kernel and bias to start from.
    config: bit widths of weights and biases.
    lengths: fractional lengths.
    output_bits: bit width of the output.
  """

  def __init__(self, start: float_filter.Layer,
               config: config_lib.QuantizationConfig,
               lengths: quantizer.Lengths, output_bits: int, **keywords):
    super().__init__(**keywords)
    self._config, self._lengths = config, lengths
    self._output_bits, self._relu = output_bits, start.relu
    self.kernel = self.add_weight(
        'kernel', start.kernel.shape,
        initializer=tf.keras.initializers.Constant(start.kernel))
    self.bias = self.add_weight(
        'bias', start.bias.shape,
        initializer=tf.keras.initializers.Constant(start.bias))

  def call(self, x):
    kernel = straight_through(self.kernel, self._config.weight_bits,
                              self._lengths.weight_fl)
    bias = straight_through(self.bias, self._config.bias_bits,
                            self._lengths.bias_fl)
    x = tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, 'SAME'), bias)
    x = tf.nn.relu(x) if self._relu else x
    return straight_through(x, self._output_bits, self._lengths.output_fl)


def build(source: float_filter.FloatFilter,
          config: config_lib.QuantizationConfig,
          lengths: Sequence[quantizer.Lengths]) -> tf.keras.Model:
  """Builds the rounding network.

  Returns:
    Model from network.inputs [batch, height, width, 2] to the residual
    [batch, height, width, 1] in units of sample / 2^depth.
  """
  x = entry = tf.keras.Input([None, None, 2])
  for i, (layer, one, bits) in enumerate(zip(
      quantizer.scaled(source), lengths, quantizer.bits_of(source, config))):
    x = QuantizedConvolution(layer, config, one, bits, name=f'conv_{i}')(x)
  return tf.keras.Model(entry, x)


def to_filter(model: tf.keras.Model,
              source: float_filter.FloatFilter) -> float_filter.FloatFilter:
  """Reads the float weights out; rounded, they are what was trained."""
  convolutions = [layer for layer in model.layers
                  if isinstance(layer, QuantizedConvolution)]
  layers = tuple(
      float_filter.Layer(layer.kernel.numpy(), layer.bias.numpy(), None,
                         before.relu)
      for layer, before in zip(convolutions, source.layers))
  return dataclasses.replace(source, layers=layers, residual_scale=1.0)


def fine_tune(source: float_filter.FloatFilter,
              config: config_lib.QuantizationConfig,
              lengths: Sequence[quantizer.Lengths], patches: Patches,
              settings: FineTuning, folder: str | os.PathLike, *,
              on_step: Callable[[int, int, str], None] | None = None
              ) -> float_filter.FloatFilter:
  """Trains a filter through its quantizer.

  Each patch's error counts relative to what the codec leaves at its QP and
  component. The same call again goes on from the last checkpoint.

  Args:
    source: the float filter that the lengths were chosen for.
    config: bit widths.
    lengths: of every layer.
    patches: batches of reconstruction, original, qp, component.
    settings: how long and how fast.
    folder: of the checkpoints.
    on_step: told of steps done, of how many, and the loss.

  Returns:
    The trained filter, to be rounded with the same lengths.
  """
  model = build(source, config, lengths)
  rate = tf.keras.optimizers.schedules.CosineDecay(
      settings.learning_rate, settings.steps)
  optimizer = tf.keras.optimizers.legacy.Adam(rate)
  # Made here, so that a checkpoint brings them back before the first step.
  optimizer._create_all_weights(model.trainable_variables)
  manager = tf.train.CheckpointManager(
      tf.train.Checkpoint(model=model, optimizer=optimizer), str(folder), 2)
  manager.restore_or_initialize()
  start = int(optimizer.iterations)
  step = _step(model, optimizer, settings.clip_norm,
               patch_scores.class_errors(
                   patches(0).take(_CLASS_BATCHES).as_numpy_iterator()))
  for done, batch in zip(range(start + 1, settings.steps + 1),
                         patches(start)):
    loss = step(batch)
    if done % settings.save_every == 0 or done == settings.steps:
      manager.save(done)
    if on_step is not None:
      on_step(done, settings.steps, f'loss {float(loss):.5f}')
  return to_filter(model, source)


def _step(model, optimizer, clip_norm, class_errors):
  """Makes the function that trains on one batch and returns the loss."""
  class_errors = tf.constant(np.asarray(class_errors, np.float32))
  variables = model.trainable_variables

  @tf.function(reduce_retracing=True)
  def step(batch):
    reconstruction, qp = batch['reconstruction'], batch['qp']
    with tf.GradientTape() as tape:
      residual = model(network.inputs(reconstruction, qp))
      errors = losses.patch_error(reconstruction, residual, batch['original'])
      where = tf.stack([batch['component'], tf.cast(qp, tf.int32)], axis=-1)
      samples = tf.shape(residual)[1] * tf.shape(residual)[2]
      loss = losses.distortion(errors, samples,
                               tf.gather_nd(class_errors, where))
    gradients, _ = tf.clip_by_global_norm(
        tape.gradient(loss, variables), clip_norm)
    optimizer.apply_gradients(zip(gradients, variables))
    return loss
  return step
