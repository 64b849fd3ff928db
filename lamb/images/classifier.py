"""The Estimator's graph: pictures and labels to loss, update and metrics."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from lamb.images import config as config_lib
from lamb.images import layers as layers_lib
from lamb.images import networks
from lamb.images import optimizers

v1 = tf.compat.v1

TOP_1, TOP_5 = 'top_1_accuracy', 'top_5_accuracy'


def smoothed_loss(labels: tf.Tensor, logits: tf.Tensor,
                  smoothing: float) -> tf.Tensor:
  """Returns the cross entropy of each example with smoothed labels, in nats.

  Args:
    labels: `[batch]` integers.
    logits: `[batch, classes]` float32.
    smoothing: share of the label that is spread over all classes.

  Returns:
    `[batch]` float32.
  """
  classes = logits.shape[-1]
  target = (1 - smoothing) * tf.one_hot(labels, classes) + smoothing / classes
  return tf.nn.softmax_cross_entropy_with_logits(target, logits)


def training_spec(config: config_lib.Config, features: dict[str, tf.Tensor],
                  *, replicas: int = 1,
                  hooks: Callable[[tf.Tensor], list[Any]] = lambda loss: []
                  ) -> Any:
  """Builds one training step.

  Args:
    config: the experiment.
    features: `image` `[batch, height, width, 3]` and `label` `[batch]`.
    replicas: of a TPU; 1 elsewhere.
    hooks: takes the loss and returns the hooks of the training.

  Returns:
    A TPUEstimatorSpec.
  """
  layers = layers_lib.Layers(True, config.network.activation_dtype,
                             config.training.seed)
  logits = networks.logits(config.network, config.data.num_classes, layers,
                           features['image'])
  loss = tf.reduce_mean(smoothed_loss(
      features['label'], logits, config.training.label_smoothing))
  step = v1.train.get_or_create_global_step()
  rate = optimizers.learning_rate(config.optimizer, step,
                                  config.training.steps)
  variables = v1.trainable_variables()
  found = optimizers.gradients(
      loss, variables, clip_norm=config.optimizer.clip_norm, replicas=replicas)
  with tf.control_dependencies(layers.updates):
    update = optimizers.apply_gradients(config.optimizer, rate, found,
                                        variables, step)
  if replicas == 1:
    # A TPU writes no summaries from inside its loop.
    v1.summary.scalar('learning_rate', rate)
  return v1.estimator.tpu.TPUEstimatorSpec(
      v1.estimator.ModeKeys.TRAIN, loss=loss, train_op=update,
      training_hooks=hooks(loss))


def evaluation_spec(config: config_lib.Config,
                    features: dict[str, tf.Tensor]) -> Any:
  """Builds the metrics: top-1, top-5 and mean cross entropy, unsmoothed.

  Args:
    config: the experiment.
    features: `image`, `label` and `weight` `[batch]`, which is 0 for what
      only fills the last batch.

  Returns:
    A TPUEstimatorSpec.
  """
  layers = layers_lib.Layers(False, config.network.activation_dtype)
  logits = networks.logits(config.network, config.data.num_classes, layers,
                           features['image'])
  each = smoothed_loss(features['label'], logits, 0.0)
  weights = features['weight']
  loss = tf.math.divide_no_nan(tf.reduce_sum(each * weights),
                               tf.reduce_sum(weights))
  return v1.estimator.tpu.TPUEstimatorSpec(
      v1.estimator.ModeKeys.EVAL, loss=loss,
      eval_metrics=(_metrics, [features['label'], logits, each, weights]))


def _metrics(labels, logits, losses, weights):
  """Runs on the host."""
  top_5 = tf.cast(tf.nn.in_top_k(
      tf.cast(labels, tf.int32), logits, min(5, logits.shape[-1])), tf.float32)
  return {
      TOP_1: v1.metrics.accuracy(labels, tf.argmax(logits, -1), weights),
      TOP_5: v1.metrics.mean(top_5, weights),
      'cross_entropy': v1.metrics.mean(losses, weights)}
