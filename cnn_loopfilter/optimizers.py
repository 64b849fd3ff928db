"""Learning-rate schedules and optimizers for the training job.

Only `tf.compat.v1.train.Optimizer`s: those of Keras 2.15 train nothing inside
an Estimator, and say nothing about it. LAMB is joined in by the script.
"""

from collections.abc import Callable
from collections.abc import Mapping

import tensorflow as tf

from cnn_loopfilter import config as config_lib
from cnn_loopfilter import errors

# Takes the learning rate, a scalar tensor, and the config.
Factory = Callable[[tf.Tensor, config_lib.OptimizerConfig],
                   tf.compat.v1.train.Optimizer]


def _adam(learning_rate, config):
  return tf.compat.v1.train.AdamOptimizer(
      learning_rate, config.beta_1, config.beta_2, config.epsilon)


BUILT_IN: Mapping[str, Factory] = {'adam': _adam}


def learning_rate(config: config_lib.OptimizerConfig, step: tf.Tensor,
                  steps: int) -> tf.Tensor:
  """Returns the rate of the update that leads from `step` to `step` + 1.

  Rises linearly over warmup_steps, then falls from learning_rate to
  end_learning_rate at `steps`, with t the fraction of the way:

    cosine      end + (rate - end) (1 + cos(pi t)) / 2
    polynomial  end + (rate - end) (1 - t)^power
  """
  step = tf.cast(step, tf.float32)
  start, end = config.learning_rate, config.end_learning_rate
  t = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
  t = tf.clip_by_value(t, 0.0, 1.0)
  if config.schedule == 'cosine':
    left = 0.5 * (1 + tf.cos(3.14159265358979 * t))
  else:
    left = tf.pow(1 - t, config.power)
  rate = end + (start - end) * left
  if not config.warmup_steps:
    return rate
  return rate * tf.minimum(1.0, (step + 1) / config.warmup_steps)


def make(config: config_lib.OptimizerConfig, rate: tf.Tensor,
         factories: Mapping[str, Factory]) -> tf.compat.v1.train.Optimizer:
  """Builds the optimizer that the config names.

  Raises:
    InputError: if there is none of this name.
  """
  if config.name not in factories:
    raise errors.InputError(
        f'config key optimizer.name: got {config.name!r}, expected one of '
        f'{", ".join(sorted(factories))}')
  return factories[config.name](rate, config)


def clip(gradients: list[tf.Tensor], clip_norm: float
         ) -> tuple[list[tf.Tensor], tf.Tensor]:
  """Scales gradients whose global norm exceeds `clip_norm` (0: never).

  Returns:
    The gradients and the global norm that they had.
  """
  norm = tf.linalg.global_norm(gradients)
  if clip_norm:
    gradients, _ = tf.clip_by_global_norm(gradients, clip_norm, use_norm=norm)
  return gradients, norm
