"""Hyperparameters of LAMB and LARS, checked when they are made.

Every face of the optimizers (Keras, Estimator, Mesh-TensorFlow) holds its
settings in one of these, so that all of them refuse the same mistakes.
"""

import dataclasses
import math
from typing import Any

from lamb import errors
from lamb import param_filter

NORMS = ('l1', 'l2', 'linf')
NESTEROV = ('none', 'first', 'both')


@dataclasses.dataclass(frozen=True)
class _Shared:
  """What LAMB and LARS have in common.

  Attributes:
    beta_1: Decay of the first moment, in [0, 1).
    weight_decay: The factor lambda of the decay, not negative.
    exclude_from_weight_decay: Regular expressions of variables not decayed.
    exclude_from_layer_adaptation: Regular expressions of variables whose trust
      ratio is 1; None means the list above, an empty list adapts everything.
    norm: Norm of weights and direction: `l1`, `l2` or `linf`.
    phi_min: Lower bound of phi, the clipped norm of the weights.
    phi_max: Upper bound of phi; None for no bound.
  """

  beta_1: float = 0.9
  weight_decay: float = 0.01
  exclude_from_weight_decay: tuple[str, ...] | None = None
  exclude_from_layer_adaptation: tuple[str, ...] | None = None
  norm: str = 'l2'
  phi_min: float = 0.0
  phi_max: float | None = None

  def __post_init__(self):
    _check_number('beta_1', self.beta_1, below=1)
    _check_number('weight_decay', self.weight_decay)
    _check_number('phi_min', self.phi_min)
    if self.phi_max is not None:
      _check_number('phi_max', self.phi_max)
      if self.phi_max <= 0 or self.phi_max < self.phi_min:
        raise errors.InputError(
            f'phi_max={self.phi_max!r}: expected a number above 0 and not '
            f'below phi_min={self.phi_min!r}, or None.')
    _check_choice('norm', self.norm, NORMS)
    for name in ('exclude_from_weight_decay', 'exclude_from_layer_adaptation'):
      frozen = param_filter.check_patterns(name, getattr(self, name))
      object.__setattr__(self, name, frozen)

  def decays(self, path: str) -> bool:
    """Tells whether the variable of this path is decayed."""
    return self.weight_decay != 0 and not param_filter.is_excluded(
        self.exclude_from_weight_decay, path)

  def adapts(self, path: str) -> bool:
    """Tells whether the step of the variable of this path is adapted."""
    patterns = self.exclude_from_layer_adaptation
    if patterns is None:
      patterns = self.exclude_from_weight_decay
    return not param_filter.is_excluded(patterns, path)

  def warn_unmatched(self, paths: list[str]) -> None:
    """Warns of exclusions that match none of the variables' paths."""
    for name in ('exclude_from_weight_decay', 'exclude_from_layer_adaptation'):
      param_filter.warn_unmatched(name, getattr(self, name), paths)


@dataclasses.dataclass(frozen=True)
class LambHyperparameters(_Shared):
  """Settings of LAMB, Algorithm 2 (arXiv:1904.00962).

  Attributes:
    beta_2: Decay of the second moment, in [0, 1).
    epsilon: Added to the root of the second moment, not negative.
    bias_correction: Whether the moments are divided by `1 - beta^t`.
    max_trust_ratio: Upper bound of the trust ratio; None for no bound, 10 in
      the paper's first version, 1 is LAMBC.
    nesterov: `none`, `first` (N-LAMB) or `both` moments (NN-LAMB).
  """

  beta_2: float = 0.999
  epsilon: float = 1e-6
  bias_correction: bool = True
  max_trust_ratio: float | None = None
  nesterov: str = 'none'

  def __post_init__(self):
    super().__post_init__()
    _check_number('beta_2', self.beta_2, below=1)
    _check_number('epsilon', self.epsilon)
    if self.max_trust_ratio is not None:
      _check_number('max_trust_ratio', self.max_trust_ratio)
      if self.max_trust_ratio == 0:
        raise errors.InputError(
            'max_trust_ratio=0: expected a number above 0, or None.')
    _check_choice('nesterov', self.nesterov, NESTEROV)


@dataclasses.dataclass(frozen=True)
class LarsHyperparameters(_Shared):
  """Settings of LARS, Algorithm 1 (arXiv:1904.00962).

  Attributes:
    trust_coefficient: None for Algorithm 1. A number eta selects the older
      form (arXiv:1708.03888): the step of a layer is
      `eta ||w|| / (||g|| + lambda ||w||)` and the momentum holds steps.
  """

  trust_coefficient: float | None = None

  def __post_init__(self):
    super().__post_init__()
    if self.trust_coefficient is not None:
      _check_number('trust_coefficient', self.trust_coefficient)
      if self.trust_coefficient == 0:
        raise errors.InputError(
            'trust_coefficient=0: expected a number above 0, or None.')


def _check_number(name: str, value: Any, below: float = math.inf) -> None:
  """Raises InputError unless 0 <= value < below."""
  expected = 'a finite number that is not negative' if math.isinf(
      below) else f'a number in [0, {below})'
  try:
    valid = 0 <= float(value) < below
  except (TypeError, ValueError):
    valid = False
  if not valid:
    raise errors.InputError(f'{name}={value!r}: expected {expected}.')


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
  """Raises InputError unless the value is one of the choices."""
  if value not in choices:
    raise errors.InputError(
        f'{name}={value!r}: expected one of {", ".join(choices)}.')
