"""The optimizers that full-batch training compares, made by name."""

from typing import Any

import tensorflow as tf

import lamb
from lamb import errors
from lamb import schedules

NAMES = ('lamb', 'lars', 'momentum', 'adam', 'adamw')
_MOMENTUM = 0.9
# The authors' LARS multiplies the trust ratio by this; their rate of 22 only
# makes sense with it.
_TRUST_COEFFICIENT = 0.001
# The authors' MNIST code decays no bias and adapts every variable.
_NOT_DECAYED = ('bias',)


def make(name: str, learning_rate: float, warmup_steps: int, steps: int, *,
         power: float, weight_decay: float, clip_norm: float,
         bias_correction: bool = True) -> Any:
  """Makes a Keras optimizer with warmup and polynomial decay.

  The decay is the continuous triangle. Steps are counted from 1 and the decay
  ends one step after the last, so that no step has the learning rate 0.

  Args:
    name: One of `NAMES`.
    learning_rate: Peak.
    warmup_steps: Steps of linear warmup.
    steps: Steps in all.
    power: Power of the polynomial decay.
    weight_decay: The factor lambda; without effect on momentum and Adam.
    clip_norm: Largest global norm of the gradient; 0 for no clipping.
    bias_correction: Of LAMB; the authors' code has none, which leaves epsilon
      a say where gradients are small.

  Raises:
    InputError: The name is not known.
  """
  schedule = schedules.WarmupPolynomialDecay(
      learning_rate, warmup_steps, steps + 1, power, 'triangle', first_step=1)
  keras = tf.keras.optimizers
  clipping = {'global_clipnorm': clip_norm} if clip_norm else {}
  excluded = {'exclude_from_weight_decay': _NOT_DECAYED,
              'exclude_from_layer_adaptation': ()}
  if name == 'lamb':
    return lamb.LAMB(
        schedule, weight_decay=weight_decay, bias_correction=bias_correction,
        **excluded, **clipping)
  if name == 'lars':
    return lamb.LARS(
        schedule, _MOMENTUM, weight_decay, _TRUST_COEFFICIENT, **excluded,
        **clipping)
  if name == 'momentum':
    return keras.SGD(schedule, momentum=_MOMENTUM, **clipping)
  if name == 'adam':
    return keras.Adam(schedule, **clipping)
  if name == 'adamw':
    return keras.AdamW(schedule, weight_decay=weight_decay, **clipping)
  raise errors.InputError(
      f'optimizer {name!r}: expected one of {", ".join(NAMES)}.')
