"""Learning-rate schedules and the paper's untuned recipes.

BERT and ImageNet were trained by one rule each (arXiv:1904.00962, section 4):
the learning rate grows with the square root of the batch, the number of
warmup steps stays the same, and nothing else is tuned.

`WarmupPolynomialDecay`, the Keras schedule, is made when it is asked for.
"""

import dataclasses
import types
from typing import Any

import numpy as np

from lamb import errors

FORMS = ('bert', 'triangle')

_LARGEST_BATCH = 32768
_BERT_PEAK = 5e-3
_BERT_EXAMPLES = 512 * 1_000_000
_BERT_WARMUP_STEPS = 3125
_IMAGENET_PEAK = 4e-2
_IMAGENET_WARMUP_STEPS = 782
_IMAGENET_EXAMPLES = 1_281_167
_IMAGENET_EPOCHS = 90
# The two stages of the 64K/32K job: steps are the paper's; rates and warmup
# are NVIDIA's, since the paper's own were not available.
_MIXED_STAGES = (
    (65536, 128, 6e-3, 2000, 7038),
    (32768, 512, 4e-3, 200, 1561),
)


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How to train with one batch size.

  Attributes:
    batch_size: Examples in a step.
    learning_rate: Peak of the learning rate.
    warmup_steps: Steps of linear warmup.
    total_steps: Steps in all.
    weight_decay: The factor lambda.
    power: Power of the polynomial decay.
    form: `bert` or `triangle`, see `warmup_polynomial_decay`.
    label_smoothing: Share of the label spread over all classes.
    sequence_length: Tokens in an example; None where there are none.
  """

  batch_size: int
  learning_rate: float
  warmup_steps: int
  total_steps: int
  weight_decay: float
  power: float = 1.0
  form: str = 'bert'
  label_smoothing: float = 0.0
  sequence_length: int | None = None

  @property
  def warmup_ratio(self) -> float:
    """The share of the steps spent on warmup, in [0, 1]."""
    return self.warmup_steps / self.total_steps

  def schedule(self) -> Any:
    """Returns the recipe's learning rate as a Keras schedule."""
    from lamb import keras_schedules
    return keras_schedules.WarmupPolynomialDecay(
        self.learning_rate, self.warmup_steps, self.total_steps, self.power,
        self.form)


def warmup_polynomial_decay(
    step: Any, learning_rate: float, warmup_steps: int, total_steps: int,
    power: float = 1.0, form: str = 'bert',
    ops: types.ModuleType | Any = np) -> Any:
  """Computes linear warmup followed by polynomial decay to 0.

  With W warmup and T total steps, before W the rate is `lr step / W`; then
  * form `bert`: `lr (1 - step / T)^power`, the authors' BERT code, which jumps
    from lr to `lr (1 - W / T)^power` where warmup ends;
  * form `triangle`: `lr (1 - (step - W) / (T - W))^power`, their ImageNet and
    CIFAR code, which is continuous.
  From T on it is 0.

  Args:
    step: Step counted from 0; a number or an array.
    learning_rate: Peak lr.
    warmup_steps: W, from 0 to T.
    total_steps: T, at least 1.
    power: Power of the decay, above 0.
    form: `bert` or `triangle`.
    ops: Namespace of array functions, such as numpy.

  Returns:
    The learning rate, of the step's shape.

  Raises:
    InputError: An argument is out of its range.
  """
  check(learning_rate, warmup_steps, total_steps, power, form)
  start = warmup_steps if form == 'triangle' else 0
  left = (total_steps - step) / max(total_steps - start, 1)
  decayed = learning_rate * ops.minimum(ops.maximum(left, 0.0), 1.0) ** power
  if warmup_steps == 0:
    return decayed
  return ops.where(
      step < warmup_steps, learning_rate * step / warmup_steps, decayed)


def check(learning_rate: float, warmup_steps: int, total_steps: int,
          power: float, form: str) -> None:
  """Raises InputError where an argument of a schedule is out of its range."""
  if not learning_rate >= 0:
    raise errors.InputError(
        f'learning_rate={learning_rate!r}: expected a number, not negative.')
  if not 0 <= warmup_steps <= total_steps or total_steps < 1:
    raise errors.InputError(
        f'warmup_steps={warmup_steps!r}, total_steps={total_steps!r}: expected '
        '0 <= warmup_steps <= total_steps and at least one step.')
  if not power > 0:
    raise errors.InputError(f'power={power!r}: expected a number above 0.')
  if form not in FORMS:
    raise errors.InputError(
        f'form={form!r}: expected one of {", ".join(FORMS)}.')


def square_root_rate(batch_size: int, reference_rate: float,
                     reference_batch: int) -> float:
  """Scales a learning rate by the square root of the batch.

  Args:
    batch_size: Examples in a step, at least 1.
    reference_rate: Learning rate at the reference batch.
    reference_batch: The batch it was chosen for.

  Raises:
    InputError: The batch is not a positive whole number.
  """
  if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
    raise errors.InputError(
        f'batch_size={batch_size!r}: expected a whole number from 1.')
  return reference_rate * (batch_size / reference_batch) ** 0.5


def bert_recipe(batch_size: int) -> Recipe:
  """Returns the paper's recipe for BERT: rate `5 / (2^k 10^3)`.

  512 million examples in all; at 32768 the rate is 5e-3 and a fifth of the
  15625 steps is warmup, which makes 3125 warmup steps at every batch.

  Args:
    batch_size: Examples in a step.

  Raises:
    InputError: The batch is below 1 or so large that warmup would not end.
  """
  rate = square_root_rate(batch_size, _BERT_PEAK, _LARGEST_BATCH)
  return _recipe(batch_size, rate, _BERT_WARMUP_STEPS,
                 round(_BERT_EXAMPLES / batch_size), weight_decay=0.01)


def imagenet_recipe(batch_size: int) -> Recipe:
  """Returns the paper's recipe for ResNet-50: rate `4 / (2^k 10^2)`.

  90 epochs with 782 warmup steps; decay 1.5 and label smoothing 0.1, which
  are the authors' for batch 32768.

  Args:
    batch_size: Images in a step.

  Raises:
    InputError: The batch is below 1 or so large that warmup would not end.
  """
  rate = square_root_rate(batch_size, _IMAGENET_PEAK, _LARGEST_BATCH)
  steps = round(_IMAGENET_EPOCHS * _IMAGENET_EXAMPLES / batch_size)
  return _recipe(batch_size, rate, _IMAGENET_WARMUP_STEPS, steps,
                 weight_decay=1.5, form='triangle', label_smoothing=0.1)


def mixed_batch_recipe() -> tuple[Recipe, Recipe]:
  """Returns both stages of BERT's 8599-step job.

  Stage 1: 9/10 of the epochs, sequences of 128, batch 65536, 7038 steps.
  Stage 2: sequences of 512, batch 32768, 1561 steps, warmed up again from 0.
  The learning rates and warmup steps are NVIDIA's; the paper's own were not
  available.
  """
  return tuple(
      _recipe(batch, rate, warmup, steps, weight_decay=0.01,
              sequence_length=length)
      for batch, length, rate, warmup, steps in _MIXED_STAGES)


def mixed_batch_decay(step: Any, ops: types.ModuleType | Any = np) -> Any:
  """Computes the learning rate of the 8599-step job.

  Args:
    step: Step counted from 0 over both stages; a number or an array.
    ops: Namespace of array functions, such as numpy.

  Returns:
    The learning rate, of the step's shape.
  """
  first, second = mixed_batch_recipe()

  def rate(recipe, at):
    return warmup_polynomial_decay(
        at, recipe.learning_rate, recipe.warmup_steps, recipe.total_steps,
        recipe.power, recipe.form, ops)

  return ops.where(step < first.total_steps, rate(first, step),
                   rate(second, step - first.total_steps))


def _recipe(batch_size, learning_rate, warmup_steps, total_steps, **others):
  """Makes a recipe, refusing one whose warmup does not end."""
  if warmup_steps > total_steps:
    raise errors.InputError(
        f'batch_size={batch_size}: leaves {total_steps} steps, fewer than the '
        f'{warmup_steps} of warmup; expected a smaller batch.')
  return Recipe(batch_size, learning_rate, warmup_steps, total_steps, **others)


def __getattr__(name):
  """Makes the Keras schedule late, so that no framework is needed before."""
  if name == 'WarmupPolynomialDecay':
    from lamb import keras_schedules
    return keras_schedules.WarmupPolynomialDecay
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
