"""The stages of a pre-training: sequence length, batch, steps, learning rate.

The paper's 64K job trains nine tenths of its examples at sequence 128 and
batch 65536, the rest at 512 and 32768, with the learning rate warmed up again
from zero (arXiv:1904.00962, section 4.1). No TensorFlow here.
"""

from collections.abc import Sequence
import dataclasses
import re
import types
from typing import Any

import numpy as np

from lamb import errors
from lamb import schedules

# 20 predictions at sequence 128 and 80 at 512, as in BERT's own records.
_PREDICTIONS_PER_TOKEN = 5 / 32


@dataclasses.dataclass(frozen=True)
class Stage:
  """One stage.

  Attributes:
    sequence_length: Tokens in an example.
    batch_size: Examples in a step, over all replicas.
    steps: Updates.
    learning_rate: Peak of the learning rate.
    warmup_steps: Steps of linear warmup from 0.
    max_predictions: Masked positions of an example; 0 for 5/32 of the
      sequence, rounded up.
    power: Power of the polynomial decay to 0.
    form: `bert` or `triangle`, see `schedules.warmup_polynomial_decay`.
  """

  sequence_length: int
  batch_size: int
  steps: int
  learning_rate: float
  warmup_steps: int = 0
  max_predictions: int = 0
  power: float = 1.0
  form: str = 'bert'

  def __post_init__(self):
    for name in ('sequence_length', 'batch_size', 'steps'):
      value = getattr(self, name)
      if not isinstance(value, (int, np.integer)) or value < 1:
        raise errors.InputError(
            f'{name}: got {value!r}, expected a whole number from 1.')
    if self.max_predictions < 0:
      raise errors.InputError(
          f'max_predictions: got {self.max_predictions!r}, expected a whole '
          'number, not negative.')
    schedules.check(self.learning_rate, self.warmup_steps, self.steps,
                    self.power, self.form)
    if not self.max_predictions:
      object.__setattr__(self, 'max_predictions', int(
          np.ceil(self.sequence_length * _PREDICTIONS_PER_TOKEN)))

  def rate(self, step: Any, ops: types.ModuleType | Any = np) -> Any:
    """Returns the learning rate of a step counted from the stage's start."""
    return schedules.warmup_polynomial_decay(
        step, self.learning_rate, self.warmup_steps, self.steps, self.power,
        self.form, ops)

  def __str__(self):
    return f'{self.sequence_length}x{self.batch_size}x{self.steps}'


def starts(stages: Sequence[Stage]) -> list[int]:
  """Returns the global step at which each stage starts, and the last ends."""
  return [0, *np.cumsum([stage.steps for stage in stages]).tolist()]


def parse(text: str) -> list[tuple[int, int, int]]:
  """Reads `128x65536x7038,512x32768x1561`: sequence x batch x steps.

  Raises:
    InputError: The text is of another form.
  """
  found = []
  for part in text.split(','):
    match = re.fullmatch(r'\s*(\d+)x(\d+)x(\d+)\s*', part)
    if not match:
      raise errors.InputError(
          f'stages: got {part!r}, expected SEQUENCExBATCHxSTEPS, such as '
          '128x65536x7038.')
    found.append(tuple(map(int, match.groups())))
  return found


def tuned(sizes: Sequence[tuple[int, int, int]],
          learning_rates: Sequence[float], warmup_steps: Sequence[int],
          **options: Any) -> tuple[Stage, ...]:
  """Makes stages of given learning rates.

  Args:
    sizes: (sequence length, batch, steps) of each.
    learning_rates: One for each stage, or one for all.
    warmup_steps: The same.
    **options: Other attributes of every `Stage`.

  Raises:
    InputError: The numbers of values differ, or a value is out of its range.
  """
  rates = _for_each('learning_rate', learning_rates, len(sizes))
  warmups = _for_each('num_warmup_steps', warmup_steps, len(sizes))
  return tuple(Stage(*size, rate, warmup, **options)
               for size, rate, warmup in zip(sizes, rates, warmups))


def untuned(sizes: Sequence[tuple[int, int, int]],
            warmup_steps: Sequence[int] | None = None,
            **options: Any) -> tuple[Stage, ...]:
  """Makes stages by the paper's rule, which tunes nothing for a batch.

  The learning rate is `5e-3 sqrt(batch / 32768)`, warmup takes 3125 steps. The
  stages of the 8599-step job have the rates of `mixed_batch_recipe`, since
  its second stage is shorter than that.

  Args:
    sizes: (sequence length, batch, steps) of each.
    warmup_steps: One for each stage, or one for all; None for the rule's.
    **options: Other attributes of every `Stage`.

  Raises:
    InputError: Warmup would not end within a stage.
  """
  mixed = schedules.mixed_batch_recipe()
  recipes = [schedules.bert_recipe(batch) for _, batch, _ in sizes]
  if list(sizes) == [(each.sequence_length, each.batch_size, each.total_steps)
                     for each in mixed]:
    recipes = mixed
  warmups = _for_each(
      'num_warmup_steps',
      warmup_steps or [recipe.warmup_steps for recipe in recipes], len(sizes))
  for (_, _, steps), warmup in zip(sizes, warmups):
    if warmup > steps:
      raise errors.InputError(
          f'recipe untuned: {warmup} steps of warmup do not fit {steps} steps; '
          'expected more steps, or num_warmup_steps.')
  return tuned(sizes, [recipe.learning_rate for recipe in recipes], warmups,
               **options)


def _for_each(name, values, count):
  """Returns one value for each stage."""
  values = list(values)
  if len(values) == 1:
    values *= count
  if len(values) != count:
    raise errors.InputError(
        f'{name}: got {len(values)} values, expected 1 or one for each of '
        f'{count} stages.')
  return values


def learning_rate(stages: Sequence[Stage], step: Any,
                  ops: types.ModuleType | Any = np) -> Any:
  """Computes the learning rate of a global step, over all stages.

  Args:
    stages: In order.
    step: Counted from 0 over all stages; a number or an array.
    ops: Namespace of array functions.
  """
  begin = starts(stages)
  rate = stages[-1].rate(step - begin[-2], ops)
  for stage, start, end in reversed(
      list(zip(stages[:-1], begin[:-2], begin[1:-1]))):
    rate = ops.where(step < end, stage.rate(step - start, ops), rate)
  return rate
