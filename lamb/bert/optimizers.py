"""The optimizers of the BERT jobs, made by name for a TPUEstimator."""

import dataclasses
from typing import Any

import tensorflow as tf

from lamb import errors
from lamb import estimator
from lamb import estimator_lars
from lamb import param_filter

NAMES = ('lamb', 'adamw', 'lars')


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """Which optimizer, and its settings besides the learning rate.

  Attributes:
    name: `lamb`, `adamw` or `lars`.
    beta_1: Decay of the first moment.
    beta_2: Decay of the second moment; not of LARS.
    epsilon: Added to the root of the second moment; not of LARS.
    weight_decay: The factor lambda; biases and norms are not decayed.
    bias_correction: Whether the moments are corrected; the authors' code, and
      google-research/bert's AdamW, do not. Not of LARS.
    clip_norm: Largest global norm of the gradient; 0 for no clipping.
  """

  name: str = 'lamb'
  beta_1: float = 0.9
  beta_2: float = 0.999
  epsilon: float = 1e-6
  weight_decay: float = 0.01
  bias_correction: bool = False
  clip_norm: float = 1.0

  def __post_init__(self):
    if self.name not in NAMES:
      raise errors.InputError(
          f'optimizer: got {self.name!r}, expected one of {", ".join(NAMES)}.')
    if not self.clip_norm >= 0:
      raise errors.InputError(
          f'clip_norm: got {self.clip_norm!r}, expected a number, not '
          'negative.')
    make(self, 0.0)


def make(config: OptimizerConfig, learning_rate: Any
         ) -> tf.compat.v1.train.Optimizer:
  """Makes the optimizer; it does not clip.

  Args:
    config: Its settings.
    learning_rate: Number or scalar tensor.

  Raises:
    InputError: A setting is out of its range.
  """
  if config.name == 'lars':
    return estimator_lars.LarsOptimizer(
        learning_rate, config.beta_1, config.weight_decay,
        exclude_from_weight_decay=param_filter.BERT_EXCLUSIONS)
  # LAMB with a trust ratio of 1 everywhere is AdamW: the empty pattern is
  # found in every name.
  not_adapted = [''] if config.name == 'adamw' else None
  return estimator.LambOptimizer(
      learning_rate, config.beta_1, config.beta_2, config.epsilon,
      config.weight_decay, config.bias_correction,
      exclude_from_weight_decay=param_filter.BERT_EXCLUSIONS,
      exclude_from_layer_adaptation=not_adapted)
