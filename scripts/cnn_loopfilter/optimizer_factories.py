"""Optimizers that the loop filter's trainings can name."""

from collections.abc import Mapping

import tensorflow as tf

from cnn_loopfilter import config as config_lib
from cnn_loopfilter import optimizers


def _lamb(learning_rate: tf.Tensor, config: config_lib.OptimizerConfig):
  """LAMB, from the package next door."""
  from lamb import estimator
  # Scales, offsets and the one bias are neither decayed nor adapted. The last
  # kernel starts at zero: steps in proportion to its norm would hardly let it
  # leave, so phi takes all norms for 1 at least (other kernels start above).
  return estimator.LambOptimizer(
      learning_rate, config.beta_1, config.beta_2, config.epsilon,
      config.weight_decay,
      exclude_from_weight_decay=['gamma', 'beta', 'bias'], phi_min=1.0)


FACTORIES: Mapping[str, optimizers.Factory] = {
    **optimizers.BUILT_IN, 'lamb': _lamb}
