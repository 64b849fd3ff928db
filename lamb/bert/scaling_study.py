"""What the batch-scaling study runs, and what follows from its numbers.

Every run sees the same number of examples. Learning rates follow from one rate
an optimizer, the best of a grid at the smallest batch, by the square root of
the batch; the number of warmup steps is the same for all; nothing else is
tuned (arXiv:1904.00962, section 4). No TensorFlow here.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from lamb import errors
from lamb import schedules
from lamb.bert import stages as stages_lib

OPTIMIZERS = ('lamb', 'adamw', 'lars')
# Compared at every batch; LARS is run once, at the largest.
COMPARED = ('lamb', 'adamw')
ACCURACY = 'masked_lm_accuracy'
METRICS = (ACCURACY, 'masked_lm_loss', 'next_sentence_accuracy',
           'next_sentence_loss')
DIVERGES = 'diverges'
# Masked-LM loss at the end of a training, by which a grid is judged.
FINAL_LOSS = 'final_masked_lm_loss'
MIXED = 'lamb_mixed'

# Part of the warmup in the second stage of the mixed batch: NVIDIA's 200 of
# 1561 steps, the paper's own were not available.
_SECOND_WARMUP = 200 / 1561
_SECOND_SHARE = 0.1
_PERCENT = 100


@dataclasses.dataclass(frozen=True)
class Study:
  """The settings of all runs.

  Attributes:
    examples: Seen by a run; a multiple of the largest batch, from twice that.
    grid_examples: Seen by a run of a grid; a multiple of the smallest batch.
    batches: Rising.
    warmup_steps: Of every run.
    rates: Five learning rates at the smallest batch, by optimizer.
    sequence_length: Tokens in an example.
    long_sequence_length: In the mixed batch's second stage, whose batch is
      half of the largest.
    required_accuracy: Masked-LM accuracy that LAMB and AdamW have to reach at
      the smallest batch.
    micro_batch: Examples computed at a time.
    activation_dtype: Of all trainings, see `pretraining.Job`.
    bias_correction: Of LAMB and AdamW. The authors' code has none, but its
      3125 steps of warmup are three times what the second moment remembers.
      Here the moment would still be young where warmup ends, and its root too
      small by `sqrt(1 - 0.999^76)` = 0.27: at batch 1024 all of AdamW, and
      LAMB's biases and norms, would take steps up to 3.7 times those that the
      rule for the batch means.
    seed: Of weights, order and dropout.
  """

  examples: int = 393_216
  grid_examples: int = 98_304
  batches: tuple[int, ...] = (64, 256, 1024)
  warmup_steps: int = 76
  rates: Mapping[str, tuple[float, ...]] = dataclasses.field(
      default_factory=lambda: {
          # A step of LAMB is the rate times the weights, 0.02 at first; one of
          # AdamW in noise the rate times 0.23: about a factor of ten between
          # them. Of LARS nothing is known, so its grid is wider.
          'lamb': (2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2),
          'adamw': (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3),
          'lars': (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)})
  sequence_length: int = 128
  long_sequence_length: int = 512
  required_accuracy: float = 0.20
  micro_batch: int = 64
  activation_dtype: str = 'bfloat16'
  bias_correction: bool = True
  seed: int = 12345

  def __post_init__(self):
    if (list(self.batches) != sorted(set(self.batches)) or not self.batches
        or self.batches[0] < 1):
      raise errors.InputError(
          f'batches: got {self.batches}, expected rising numbers from 1.')
    # Each stage of the mixed batch needs a step, of which two of the second
    # are as large as one of the first.
    for name, batch, least in (('examples', self.batches[-1], 2),
                               ('grid_examples', self.batches[0], 1)):
      value = getattr(self, name)
      if value % batch or value < least * batch:
        raise errors.InputError(
            f'{name}: got {value}, expected a multiple of {batch} from '
            f'{least * batch}.')
    steps = min(self.examples // self.batches[-1],
                self.grid_examples // self.batches[0])
    if not 0 <= self.warmup_steps < steps:
      raise errors.InputError(
          f'warmup_steps: got {self.warmup_steps}, expected fewer than the '
          f'{steps} steps of the shortest run.')
    for name in OPTIMIZERS:
      if not self.rates.get(name):
        raise errors.InputError(
            f'rates: none of {name}, expected some of each of '
            f'{", ".join(OPTIMIZERS)}.')
    for batch in self.batches:
      if batch % self._micro(batch):
        raise errors.InputError(
            f'micro_batch: got {self.micro_batch}, expected a divisor of the '
            f'batch {batch}.')

  def _micro(self, batch: int) -> int:
    return min(batch, self.micro_batch)

  def accumulate_steps(self, stages: tuple[stages_lib.Stage, ...]) -> int:
    """Returns the micro-batches of a step, by the largest stage."""
    return max(stage.batch_size // self._micro(stage.batch_size)
               for stage in stages)


@dataclasses.dataclass(frozen=True)
class Run:
  """One training.

  Attributes:
    name: Of its folder.
    optimizer: One of `OPTIMIZERS`.
    stages: What is trained.
  """

  name: str
  optimizer: str
  stages: tuple[stages_lib.Stage, ...]

  @property
  def examples(self) -> int:
    """Seen in all."""
    return sum(stage.batch_size * stage.steps for stage in self.stages)


def grid(study: Study, optimizer: str) -> list[Run]:
  """Returns the short runs at the smallest batch, one for each rate."""
  batch = study.batches[0]
  return [Run(f'grid_{optimizer}_{rate:g}', optimizer, (stages_lib.Stage(
      study.sequence_length, batch, study.grid_examples // batch, rate,
      study.warmup_steps),)) for rate in study.rates[optimizer]]


def best_rate(study: Study, optimizer: str,
              results: Mapping[str, Mapping[str, Any]]) -> float:
  """Returns the rate whose run ended with the least training loss.

  The evaluation text is not asked, so that it can judge the runs.

  Args:
    study: The settings.
    optimizer: Whose grid.
    results: Of every run of the grid, by name.

  Raises:
    InputError: All of them diverged.
  """
  losses = {run.stages[0].learning_rate: results[run.name][FINAL_LOSS]
            for run in grid(study, optimizer)}
  finite = {rate: loss for rate, loss in losses.items() if loss != DIVERGES}
  if not finite:
    raise errors.InputError(
        f'rates of {optimizer}: every run of the grid diverged; expected '
        'smaller ones.')
  return min(finite, key=finite.get)


def run_name(optimizer: str, batch: int) -> str:
  """Returns the name of a full run."""
  return f'{optimizer}_{batch}'


def full_runs(study: Study, optimizer: str, rate: float) -> list[Run]:
  """Returns the runs of an optimizer that are compared.

  Args:
    study: The settings.
    optimizer: One of `OPTIMIZERS`.
    rate: Its learning rate at the smallest batch.

  Returns:
    One at each batch, of LAMB one with the mixed batch too; of LARS only that
    at the largest batch.
  """
  largest = study.batches[-1]
  batches = study.batches if optimizer in COMPARED else (largest,)
  found = [Run(run_name(optimizer, batch), optimizer, (stages_lib.Stage(
      study.sequence_length, batch, study.examples // batch,
      _scaled_rate(study, rate, batch), study.warmup_steps),))
           for batch in batches]
  if optimizer == 'lamb':
    found.append(Run(MIXED, optimizer, _mixed_stages(study, rate)))
  return found


def _scaled_rate(study, rate, batch):
  return schedules.square_root_rate(batch, rate, study.batches[0])


def _mixed_stages(study, rate):
  """Returns the mixed batch's stages; they see as many examples as others."""
  largest = study.batches[-1]
  second = largest // 2
  # An even number, so that a whole number of steps is left for the first.
  steps = 2 * max(1, round(_SECOND_SHARE * study.examples / largest))
  first = (study.examples - steps * second) // largest
  return (
      stages_lib.Stage(study.sequence_length, largest, first,
                       _scaled_rate(study, rate, largest),
                       min(study.warmup_steps, first)),
      stages_lib.Stage(study.long_sequence_length, second, steps,
                       _scaled_rate(study, rate, second),
                       round(_SECOND_WARMUP * steps)))


def summarize(study: Study, results: Mapping[str, Mapping[str, Any]]
              ) -> dict[str, Any]:
  """Says what came out.

  Args:
    study: The settings.
    results: Of all runs, by name.

  Returns:
    `lost_points` by optimizer: masked-LM accuracy at the smallest batch less
    that at the largest, in points of percent, or `diverges`; `flop` and
    `hours` of all runs (None if one was stopped in between); `verdict`, a
    sentence.
  """
  smallest, largest = study.batches[0], study.batches[-1]
  accuracy = lambda name, batch: results[run_name(name, batch)][ACCURACY]
  lost = {}
  for name in COMPARED:
    values = accuracy(name, smallest), accuracy(name, largest)
    lost[name] = DIVERGES if DIVERGES in values else _PERCENT * (
        values[0] - values[1])
  return {
      'lost_points': lost, 'verdict': _verdict(study, accuracy, lost),
      'flop': sum(result['flop'] for result in results.values()),
      'hours': _hours([result['seconds'] for result in results.values()])}


def _hours(seconds):
  return None if None in seconds else sum(seconds) / 3600


def _verdict(study, accuracy, lost):
  """Returns the sentence."""
  for name in COMPARED:
    value = accuracy(name, study.batches[0])
    if value == DIVERGES or value < study.required_accuracy:
      shown = value if value == DIVERGES else f'{value:.4f}'
      return (f'inconclusive: at batch {study.batches[0]} the masked-LM '
              f'accuracy of {name} is {shown}, short of '
              f'{study.required_accuracy:g}')
  words = [f'{name} diverges' if value == DIVERGES else
           f'{name} loses {value:.2f} points' for name, value in lost.items()]
  return (f'from batch {study.batches[0]} to {study.batches[-1]} '
          + ', '.join(words))
