"""Learning rates as functions of the global step."""

import math

import tensorflow as tf

from mtf_unet import config as config_lib


def learning_rate(config: config_lib.OptimizerConfig, step: tf.Tensor,
                  total_steps: int) -> tf.Tensor:
  """Computes the rate of a step.

  With s the step, W the warmup and T the total:
    warmup      lr (s + 1) / W                              while s < W
    staircase   lr decay_rate^floor(s / decay_steps)
    cosine      end + (lr - end) (1 + cos(pi f)) / 2        f = (s - W)/(T - W)
    polynomial  end + (lr - end) (1 - f)^power

  Args:
    config: the schedule.
    step: whole-number scalar, 0 at the first update.
    total_steps: where cosine and polynomial reach their end.

  Returns:
    float32 scalar.
  """
  step = tf.cast(step, tf.float32)
  peak, end = config.learning_rate, config.end_learning_rate
  warmup = config.warmup_steps
  if config.schedule == 'staircase':
    rate = peak * config.decay_rate ** tf.floor(step / config.decay_steps)
  else:
    fraction = tf.clip_by_value(
        (step - warmup) / max(total_steps - warmup, 1), 0.0, 1.0)
    left = (0.5 * (1.0 + tf.cos(math.pi * fraction))
            if config.schedule == 'cosine'
            else (1.0 - fraction) ** config.power)
    rate = end + (peak - end) * left
  if warmup:
    rate = tf.where(step < warmup, peak * (step + 1.0) / warmup, rate)
  return rate
