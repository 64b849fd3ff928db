"""One training step as a graph: loss, gradients, averages, summaries."""

from collections.abc import Mapping
import dataclasses

import numpy as np
import tensorflow as tf

from cnn_loopfilter import config as config_lib
from cnn_loopfilter import losses
from cnn_loopfilter import network
from cnn_loopfilter import optimizers

# Pictures in TensorBoard, and how much the error in them is amplified.
_PICTURES = 4
_AMPLIFY = 8.0


@dataclasses.dataclass(frozen=True)
class TrainingGraph:
  """What the Estimator runs.

  Attributes:
    loss: scalar that is minimised.
    train_op: makes one step, with batch norm's and the average's updates.
    scalars: what TensorBoard shows, by name.
  """
  loss: tf.Tensor
  train_op: tf.Operation
  scalars: Mapping[str, tf.Tensor]


def build(config: config_lib.Config, features: Mapping[str, tf.Tensor],
          factories: Mapping[str, optimizers.Factory], *,
          class_errors: np.ndarray | None = None, use_tpu: bool = False
          ) -> TrainingGraph:
  """Builds the step in the default graph.

  Args:
    config: the experiment.
    features: reconstruction, original ([batch, height, width, 1], sample /
      2^depth), qp, component ([batch]).
    factories: optimizers by name.
    class_errors: [3, 64], needed for loss.balance 'class'.
    use_tpu: sum gradients over the cores.
  """
  model = network.build(config.network, config.training.seed)
  # Of the placeholder that Keras builds the model on, which nothing feeds.
  unfed = {update.name for update in model.updates}
  reconstruction = features['reconstruction']
  residual = model(network.inputs(reconstruction, features['qp']),
                   training=True)
  terms = _terms(config.loss, model, features, residual, class_errors)
  loss = tf.add_n(list(terms.values()))
  step = tf.compat.v1.train.get_or_create_global_step()
  rate = optimizers.learning_rate(config.optimizer, step,
                                  config.training.steps)
  optimizer = optimizers.make(config.optimizer, rate, factories)
  if use_tpu:
    optimizer = tf.compat.v1.tpu.CrossShardOptimizer(optimizer)
  # Keras leaves batch norm's moving averages to whoever builds the step; not
  # run, they would silently stay at their start.
  updates = [u for u in model.updates if u.name not in unfed]
  train_op, norm = _train_op(config, model, updates, optimizer, loss, step)
  scalars = {f'loss/{name}': value for name, value in terms.items()}
  scalars |= {'loss/total': loss, 'optimizer/learning_rate': rate,
              'optimizer/gradient_norm': norm}
  if not use_tpu:
    _summaries(scalars, features, residual)
  return TrainingGraph(loss, train_op, scalars)


def _terms(config, model, features, residual, class_errors):
  """The terms of the loss by name, each with its factor; factor 0: none."""
  errors = losses.patch_error(
      features['reconstruction'], residual, features['original'])
  per_patch = None
  if config.balance == 'class':
    where = tf.stack([tf.cast(features['component'], tf.int32),
                      tf.cast(features['qp'], tf.int32)], axis=-1)
    per_patch = tf.gather_nd(tf.constant(class_errors), where)
  samples = residual.shape[1] * residual.shape[2]
  terms = {'error': losses.distortion(errors, samples, per_patch)}
  kernels = [v for v in model.trainable_variables if 'kernel' in v.name]
  scales = [v for v in model.trainable_variables if 'gamma' in v.name]
  if config.lambda_w:
    terms['weights'] = config.lambda_w * losses.norm(kernels,
                                                     config.weight_norm)
  if config.lambda_s:
    terms['scales'] = config.lambda_s * losses.norm(scales, config.scale_norm)
  if config.lambda_lda:
    terms['lda'] = config.lambda_lda * losses.lda(scales)
  return terms


def _train_op(config, model, updates, optimizer, loss, step):
  variables = model.trainable_variables
  gradients, norm = optimizers.clip(tf.gradients(loss, variables),
                                    config.optimizer.clip_norm)
  updates = [*updates,
             optimizer.apply_gradients(zip(gradients, variables), step)]
  decay = config.training.ema_decay
  if not decay:
    return tf.group(*updates), norm
  # With num_updates the average forgets its start within a few steps.
  average = tf.compat.v1.train.ExponentialMovingAverage(
      decay, num_updates=step)
  with tf.control_dependencies(updates):
    # Batch norm's own averages too, so that they fit the averaged weights.
    return tf.group(average.apply(model.variables)), norm


def _summaries(scalars, features, residual):
  for name, value in scalars.items():
    tf.compat.v1.summary.scalar(name, value)
  before, after, original = (x[:_PICTURES] for x in (
      features['reconstruction'], features['reconstruction'] + residual,
      features['original']))
  tf.compat.v1.summary.scalar('loss/relative_error', tf.math.divide_no_nan(
      tf.reduce_sum(tf.square(after - original)),
      tf.reduce_sum(tf.square(before - original))))
  errors = [0.5 + _AMPLIFY * (x - original) for x in (before, after)]
  strip = tf.concat([before, after, original, *errors], axis=2)
  tf.compat.v1.summary.image(
      'before_after_original_errors', tf.clip_by_value(strip, 0.0, 1.0),
      max_outputs=_PICTURES)
