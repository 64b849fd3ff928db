"""Optimizers of the job, by name; a script may join others.

Every factory takes (learning rate, config, step) and returns an
`mtf.optimize.Optimizer`.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet.mtf_compat import mtf

Factory = Callable[
    [tf.Tensor, config_lib.OptimizerConfig, tf.Tensor],
    mtf.optimize.Optimizer]


class AdamOptimizer(mtf.optimize.Optimizer):
  """Adam (arXiv:1412.6980, Algorithm 1) with decoupled weight decay.

    m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2
    w -= lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay w)

  Mesh-TensorFlow's own leaves out the bias correction. Vectors (norm scales,
  biases) are not decayed.

  Args:
    learning_rate: scalar.
    step: whole-number scalar tensor, 0 at the first update; t = step + 1.
    weight_decay: decoupled decay.
    beta_1: of the first moment.
    beta_2: of the second moment.
    epsilon: outside the root.
  """

  def __init__(self, learning_rate, step, *, weight_decay=0.0, beta_1=0.9,
               beta_2=0.999, epsilon=1e-8):
    self._learning_rate = learning_rate
    self._weight_decay = weight_decay
    self._beta_1, self._beta_2, self._epsilon = beta_1, beta_2, epsilon
    t = tf.cast(step, tf.float32) + 1.0
    self._unbias_1 = 1.0 / (1.0 - beta_1 ** t)
    self._unbias_2 = tf.math.rsqrt(1.0 - beta_2 ** t)

  def apply_grad(self, grad, var):
    grad = mtf.cast(grad, tf.float32)
    m, v = [mtf.get_variable(
        var.mesh, f'{var.name}/{slot}', var.shape, dtype=tf.float32,
        initializer=tf.compat.v1.zeros_initializer(), trainable=False)
            for slot in ('adam_m', 'adam_v')]
    new_m = self._beta_1 * m + (1.0 - self._beta_1) * grad
    new_v = self._beta_2 * v + (1.0 - self._beta_2) * mtf.square(grad)
    update = new_m * self._unbias_1 / (
        mtf.sqrt(new_v) * self._unbias_2 + self._epsilon)
    if self._weight_decay and len(var.shape.dims) > 1:
      update += self._weight_decay * mtf.cast(var.value, tf.float32)
    return [mtf.assign(m, new_m), mtf.assign(v, new_v),
            mtf.assign_sub(var, update * self._learning_rate)]


def _adafactor(learning_rate, config, step):
  del step
  if config.weight_decay:
    raise errors.InputError(
        f'config key optimizer.weight_decay: got {config.weight_decay}, '
        "expected 0 with 'adafactor', which has none")
  return mtf.optimize.AdafactorOptimizer(learning_rate=learning_rate)


def _adam(learning_rate, config, step):
  return AdamOptimizer(learning_rate, step, weight_decay=config.weight_decay)


BUILT_IN: Mapping[str, Factory] = {'adafactor': _adafactor, 'adam': _adam}


def make(config: config_lib.OptimizerConfig, learning_rate: tf.Tensor,
         step: tf.Tensor, factories: Mapping[str, Factory]
         ) -> mtf.optimize.Optimizer:
  """Builds the optimizer that the config names.

  Raises:
    InputError: for a name that is in none of the factories.
  """
  if config.name not in factories:
    raise errors.InputError(
        f'config key optimizer.name: got {config.name!r}, expected one of '
        f'{", ".join(sorted(factories))}')
  return factories[config.name](learning_rate, config, step)


def clip_by_global_norm(grads: Sequence[mtf.Tensor],
                        clip_norm: float) -> list[mtf.Tensor]:
  """Scales all gradients so that their joint norm is at most `clip_norm`."""
  grads = [mtf.cast(grad, tf.float32) for grad in grads]
  square = mtf.add_n([mtf.reduce_sum(mtf.square(grad)) for grad in grads])
  scale = mtf.minimum(1.0, clip_norm * mtf.rsqrt(square + 1e-12))
  return [grad * scale for grad in grads]
