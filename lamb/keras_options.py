"""The part of the Keras optimizers that does not depend on Keras.

`LambOptions` and `LarsOptions` hold constructor, settings, exclusions and
configuration. They are mixed into a base class of either Keras generation
(`keras2.py`, `keras3.py`), which supplies:

* `_init_keras(learning_rate, **arguments)`, the constructor of Keras;
* `_path(variable)`, the full path of a variable, and `_index(variable)`, its
  place in the list that the optimizer was built with;
* `_var_key(variable)` and `get_config()`, which Keras has anyway.
"""

from collections.abc import Sequence
import dataclasses
import re
from typing import Any

import numpy as np

from lamb import hyperparameters
from lamb import update_rule

_SHARED_ARGUMENTS = """
    weight_decay: lambda, not negative. It is part of the direction and of its
      norm, not a separate step as in AdamW.
    exclude_from_weight_decay: Regular expressions, searched for in the full
      paths of the variables. `lamb.BERT_EXCLUSIONS` and
      `lamb.RESNET_EXCLUSIONS` are the authors' lists.
    exclude_from_layer_adaptation: The same for the trust ratio. None means
      "as the list before", `[]` adapts everything.
    norm: `l1`, `l2` or `linf`, for weights and direction.
    phi_min: Lower bound of the weights' norm as it enters the trust ratio.
    phi_max: Its upper bound; None for none.
    name: Name of the optimizer.
    **keras_arguments: What every Keras optimizer takes: `clipnorm`,
      `clipvalue`, `global_clipnorm`, `use_ema`, `ema_momentum`,
      `ema_overwrite_frequency`; with Keras 2 `jit_compile`, with Keras 3
      `gradient_accumulation_steps`, `loss_scale_factor`.

  Raises:
    lamb.errors.InputError: A ValueError that names the argument at fault.
"""

LAMB_DOC = f"""Updates weights by LAMB, Algorithm 2 of arXiv:1904.00962.

  For each variable w with gradient g, at step t = 1, 2, ...:

      m = beta_1 m + (1 - beta_1) g        m^ = m / (1 - beta_1^t)
      v = beta_2 v + (1 - beta_2) g^2      v^ = v / (1 - beta_2^t)
      r = m^ / (sqrt(v^) + epsilon) + lambda w
      w = w - learning_rate phi(||w||) / ||r|| r

  The ratio is 1 where either norm is 0 and for variables that are not adapted.
  Norms are computed in float32, or in float64 for float64 variables. Sparse
  gradients are made dense: all rows are decayed and all moments fade.

  Args:
    learning_rate: Number or schedule.
    beta_1: Decay of the first moment, in [0, 1).
    beta_2: Decay of the second moment, in [0, 1).
    epsilon: Added outside the root, not negative.
    bias_correction: Whether m^ and v^ are formed, as above, or are m and v.
    max_trust_ratio: Upper bound of the ratio; None for none, 10 in the paper's
      first version, 1 is LAMBC.
    nesterov: `none`, `first` (N-LAMB) or `both` (NN-LAMB); the last two are
      our reading of equations that were not available.{_SHARED_ARGUMENTS}  """

LARS_DOC = f"""Updates weights by LARS, Algorithm 1 of arXiv:1904.00962.

  For each variable w with gradient g:

      m = beta_1 m + (1 - beta_1) (g + lambda w)
      w = w - learning_rate phi(||w||) / ||m|| m

  The ratio is 1 where either norm is 0 and for variables that are not adapted.
  With a trust coefficient eta the older form is used (arXiv:1708.03888):

      ratio = eta phi(||w||) / (||g|| + lambda ||w||)
      m = beta_1 m + learning_rate ratio (g + lambda w)
      w = w - m

  Args:
    learning_rate: Number or schedule.
    beta_1: Decay of the first moment, in [0, 1).
    trust_coefficient: eta of the older form, or None.{_SHARED_ARGUMENTS}  """


def _setting(name: str) -> property:
  """Returns a property that reads, and checks on writing, one setting."""

  def read(self):
    return getattr(self._settings, name)

  def write(self, value):
    self._settings = dataclasses.replace(self._settings, **{name: value})

  return property(read, write, doc=f'Hyperparameter `{name}`.')


class _Options:
  """Settings, exclusions and configuration of both optimizers."""

  slot_names: tuple[str, ...] = ()

  weight_decay = _setting('weight_decay')
  beta_1 = _setting('beta_1')
  norm = _setting('norm')
  phi_min = _setting('phi_min')
  phi_max = _setting('phi_max')

  def _set_up(self, settings, learning_rate, name, keras_arguments):
    # The constructor of Keras writes the property `weight_decay`, but refuses
    # any attribute that is set before it runs.
    object.__setattr__(self, '_settings', settings)
    self._init_keras(learning_rate, name=name,
                     weight_decay=settings.weight_decay, **keras_arguments)
    self._excluded_paths = {}
    self._flags = []
    self._slots = []

  def _slots_of(self, variable):
    """Returns the slots of a variable; none before they are built."""
    return self._slots[self._index(variable)] if self._slots else ()

  def _flags_of(self, variable):
    """Returns whether a variable is decayed and whether it is adapted."""
    return self._flags[self._index(variable)]

  def exclude_from_weight_decay(
      self, var_list: Sequence[Any] | None = None,
      var_names: Sequence[str] | None = None) -> None:
    """Excludes more variables from decay, beside the constructor's list.

    Must be called before the optimizer is built. Unless the constructor was
    given `exclude_from_layer_adaptation`, they are not adapted either.

    Args:
      var_list: Variables.
      var_names: Regular expressions searched for in the variables' paths.

    Raises:
      ValueError: The optimizer is built, or an expression is not valid.
    """
    if getattr(self, '_built', False) or getattr(self, 'built', False):
      raise ValueError(
          '`exclude_from_weight_decay()` has to be called before the optimizer '
          'is built.')
    self._excluded_paths.update(
        {self._var_key(each): self._path(each) for each in var_list or ()})
    if var_names:
      before = self._settings.exclude_from_weight_decay or ()
      if not isinstance(var_names, str):
        var_names = (*before, *var_names)
      self._settings = dataclasses.replace(
          self._settings, exclude_from_weight_decay=var_names)

  def _resolve_exclusions(self, variables):
    """Decides for each variable whether it is decayed and whether adapted."""
    settings = self._settings
    follows = settings.exclude_from_layer_adaptation is None
    paths = [self._path(variable) for variable in variables]
    if paths:
      settings.warn_unmatched(paths)
    flags = []
    for variable, path in zip(variables, paths):
      named = self._var_key(variable) in self._excluded_paths
      flags.append((not named and settings.decays(path),
                    not (named and follows) and settings.adapts(path)))
    return flags

  def get_config(self) -> dict[str, Any]:
    """Returns all arguments of the constructor, ready for JSON.

    Variables excluded as objects are written down by their paths.
    """
    config = super().get_config()
    settings = dataclasses.asdict(self._settings)
    for name in ('exclude_from_weight_decay', 'exclude_from_layer_adaptation'):
      if settings[name] is not None:
        settings[name] = list(settings[name])
    if self._excluded_paths:
      settings['exclude_from_weight_decay'] = [
          *(settings['exclude_from_weight_decay'] or ()),
          *(f'^{re.escape(path)}$' for path in self._excluded_paths.values())]
    return {**config, **settings}


class LambOptions(_Options):
  """Settings of LAMB as a Keras optimizer."""

  slot_names = ('m', 'v')

  beta_2 = _setting('beta_2')
  epsilon = _setting('epsilon')
  bias_correction = _setting('bias_correction')
  max_trust_ratio = _setting('max_trust_ratio')
  nesterov = _setting('nesterov')

  def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9,
               beta_2: float = 0.999, epsilon: float = 1e-6,
               weight_decay: float = 0.01, bias_correction: bool = True,
               exclude_from_weight_decay: Sequence[str] | None = None,
               exclude_from_layer_adaptation: Sequence[str] | None = None,
               norm: str = 'l2', phi_min: float = 0.0,
               phi_max: float | None = None,
               max_trust_ratio: float | None = None, nesterov: str = 'none',
               name: str = 'lamb', **keras_arguments: Any):
    settings = hyperparameters.LambHyperparameters(
        beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
        weight_decay=weight_decay, bias_correction=bias_correction,
        exclude_from_weight_decay=exclude_from_weight_decay,
        exclude_from_layer_adaptation=exclude_from_layer_adaptation,
        norm=norm, phi_min=phi_min, phi_max=phi_max,
        max_trust_ratio=max_trust_ratio, nesterov=nesterov)
    self._set_up(settings, learning_rate, name, keras_arguments)

  @classmethod
  def v1(cls, learning_rate: Any = 0.001, **arguments: Any):
    """Makes the LAMB of the paper's first version.

    The bias is corrected and the trust ratio is at most 10.

    Args:
      learning_rate: Number or schedule.
      **arguments: Any other argument of the constructor.
    """
    return cls(learning_rate, **{
        'bias_correction': True, 'max_trust_ratio': 10.0, **arguments})

  @classmethod
  def v3(cls, learning_rate: Any = 0.001, **arguments: Any):
    """Makes the LAMB of the paper's third version, like the authors' code.

    The bias is not corrected; phi may be chosen by `phi_min` and `phi_max`.

    Args:
      learning_rate: Number or schedule.
      **arguments: Any other argument of the constructor.
    """
    return cls(learning_rate, **{'bias_correction': False, **arguments})

  @classmethod
  def v5(cls, learning_rate: Any = 0.001, **arguments: Any):
    """Makes the LAMB of the paper's fifth version, which is the default.

    Args:
      learning_rate: Number or schedule.
      **arguments: Any other argument of the constructor.
    """
    return cls(learning_rate, **{'bias_correction': True, **arguments})


  def copy_for_trust_ratios(
      self, variables: Sequence[Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Copies what `trust_ratios` needs from before a step.

    Args:
      variables: The model's trainable variables.

    Returns:
      Weights and first moment of each, in float64; the moment is 0 where the
      optimizer is not built.
    """
    pairs = []
    for variable in variables:
      weights = np.array(variable.numpy(), np.float64)
      slots = self._slots_of(variable)
      m = np.array(slots[0].numpy(), np.float64) if slots else 0 * weights
      pairs.append((weights, m))
    return pairs

  def trust_ratios(
      self, variables: Sequence[Any],
      before: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Computes the trust ratios of the step that has just been made.

    Args:
      variables: The model's trainable variables.
      before: What `copy_for_trust_ratios` returned before the step.

    Returns:
      `phi(||w||) / ||r||` of each adapted variable, by its path.
    """
    ratios = {}
    for variable, (weights, old_m) in zip(variables, before):
      decays, adapts = self._flags_of(variable)
      if not adapts:
        continue
      m, v = (np.array(slot.numpy(), np.float64)
              for slot in self._slots_of(variable))
      gradient = (m - self.beta_1 * old_m) / (1 - self.beta_1)
      direction = update_rule.lamb_direction(
          weights, gradient, m, v, float(self.iterations), self._settings,
          decays=decays, ops=np)
      ratios[self._path(variable)] = float(update_rule.lamb_trust_ratio(
          weights, direction, self._settings, adapts=True, ops=np))
    return ratios


class LarsOptions(_Options):
  """Settings of LARS as a Keras optimizer."""

  slot_names = ('m',)

  trust_coefficient = _setting('trust_coefficient')

  def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9,
               weight_decay: float = 0.01,
               trust_coefficient: float | None = None,
               exclude_from_weight_decay: Sequence[str] | None = None,
               exclude_from_layer_adaptation: Sequence[str] | None = None,
               norm: str = 'l2', phi_min: float = 0.0,
               phi_max: float | None = None, name: str = 'lars',
               **keras_arguments: Any):
    settings = hyperparameters.LarsHyperparameters(
        beta_1=beta_1, weight_decay=weight_decay,
        trust_coefficient=trust_coefficient,
        exclude_from_weight_decay=exclude_from_weight_decay,
        exclude_from_layer_adaptation=exclude_from_layer_adaptation,
        norm=norm, phi_min=phi_min, phi_max=phi_max)
    self._set_up(settings, learning_rate, name, keras_arguments)
