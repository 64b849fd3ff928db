"""The optimizers of the image jobs, made by name, and one training step.

Exclusions are those of the authors' ResNet-50 code: batch norms are neither
decayed nor adapted, biases are both.
"""

from collections.abc import Sequence

import tensorflow as tf

from lamb import estimator
from lamb import estimator_lars
from lamb import param_filter
from lamb import schedules
from lamb import tensorflow_update
from lamb.images import config

v1 = tf.compat.v1

_NOTHING_ADAPTED = ('',)


def learning_rate(settings: config.OptimizerConfig, step: tf.Tensor,
                  steps: int) -> tf.Tensor:
  """Returns the rate of the update that leads from `step` to `step` + 1."""
  return schedules.warmup_polynomial_decay(
      tf.cast(step, tf.float32), settings.learning_rate, settings.warmup_steps,
      steps, settings.power, settings.form, tensorflow_update.OPS)


def make(settings: config.OptimizerConfig,
         rate: tf.Tensor) -> v1.train.Optimizer:
  """Makes an optimizer for an Estimator.

  AdamW is LAMB with every trust ratio 1, which is the AdamWeightDecay of the
  BERT code. Momentum knows no decay; see `apply_gradients`.

  Args:
    settings: its name and numbers.
    rate: learning rate, a scalar.
  """
  excluded = {'exclude_from_weight_decay': param_filter.RESNET_EXCLUSIONS}
  if settings.name == 'momentum':
    return v1.train.MomentumOptimizer(
        rate, settings.momentum, use_nesterov=settings.nesterov)
  if settings.name == 'lars':
    return estimator_lars.LarsOptimizer(
        rate, settings.momentum, settings.weight_decay, **excluded)
  if settings.name == 'adamw':
    excluded['exclude_from_layer_adaptation'] = _NOTHING_ADAPTED
  return estimator.LambOptimizer(
      rate, settings.momentum, weight_decay=settings.weight_decay,
      bias_correction=settings.bias_correction, **excluded)


def gradients(loss: tf.Tensor, variables: Sequence[tf.Variable], *,
              clip_norm: float, replicas: int = 1) -> list[tf.Tensor]:
  """Returns the gradients of the mean loss over all replicas, clipped.

  Args:
    loss: scalar, the mean over this replica's examples.
    variables: what to derive by.
    clip_norm: largest global norm; 0 for no clipping.
    replicas: of a TPU, whose gradients are summed before they are clipped.
  """
  found = tf.gradients(loss, variables)
  if replicas > 1:
    found = [v1.tpu.cross_replica_sum(gradient / replicas)
             for gradient in found]
  if clip_norm:
    found, _ = tf.clip_by_global_norm(found, clip_norm)
  return found


def apply_gradients(settings: config.OptimizerConfig, rate: tf.Tensor,
                    found: Sequence[tf.Tensor],
                    variables: Sequence[tf.Variable],
                    step: tf.Variable) -> tf.Operation:
  """Updates the variables; momentum's decay is added to the gradients (L2).

  Args:
    settings: the optimizer.
    rate: learning rate, a scalar.
    found: of `gradients`.
    variables: in the same order.
    step: global step, increased by 1.
  """
  if settings.name == 'momentum' and settings.weight_decay:
    found = [
        gradient if param_filter.is_excluded(
            param_filter.RESNET_EXCLUSIONS, variable.name)
        else gradient + settings.weight_decay * variable
        for gradient, variable in zip(found, variables)]
  return make(settings, rate).apply_gradients(zip(found, variables), step)
