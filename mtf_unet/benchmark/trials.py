"""Which cubes were tried, by whom, and the file that remembers it."""

import dataclasses
import json
import os
import statistics

from mtf_unet import atomic_file
from mtf_unet import errors
from mtf_unet import memory_planner
from mtf_unet.benchmark import problem
from mtf_unet.benchmark import rounds
from mtf_unet.benchmark import variants


@dataclasses.dataclass(frozen=True)
class Contender:
  """A variant, and how it is made to take little memory.

  Attributes:
    name: as the table says it.
    variant: of the benchmark, in its first mode.
    recompute: levels computed again.
    environment: variables of its process.
  """
  name: str
  variant: variants.Variant
  recompute: tuple[int, ...] = ()
  environment: dict[str, str] = dataclasses.field(default_factory=dict)

  @property
  def mode(self) -> str:
    """The mode of the variant."""
    return next(iter(self.variant.modes))


CONTENDERS = (
    Contender("this package, all levels computed again, the system's "
              'allocator', variants.find('mesh 1x1x1'),
              tuple(range(problem.Problem().network.levels)),
              memory_planner.SYSTEM_ALLOCATOR_ENVIRONMENT),
    Contender('plain Keras', variants.KERAS),
    Contender('PyTorch', variants.TORCH))


@dataclasses.dataclass(frozen=True)
class Trial:
  """One size that was tried.

  Attributes:
    size: voxels along each edge.
    peak_gb: the process's largest resident set, libraries included; where it
      was killed, at that moment. A GB is 10^9 bytes.
    wall_s: seconds that the process ran.
    report: what it measured, or a 'note' that says why there is nothing.
  """
  size: int
  peak_gb: float
  wall_s: float
  report: rounds.Report

  @property
  def fits(self) -> bool:
    """Whether the step was done within the limit."""
    return 'note' not in self.report

  @property
  def cpu_seconds(self) -> float:
    """Processor time of a step, the median; only where it fits."""
    return statistics.median(self.report['cpu_seconds'])


class Record:
  """The trials so far, in a file that is written after each of them.

  Args:
    path: of the JSON file; where it exists, its trials count.
    settings: that a trial depends on; JSON values.
    run: facts about this run, for the file.

  Raises:
    InputError: for a file of other settings, or one that is damaged.
  """

  def __init__(self, path: str | os.PathLike, settings: dict, run: dict):
    self._path, self._settings, self._run = path, settings, run
    self._trials = {contender.name: [] for contender in CONTENDERS}
    if os.path.exists(path):
      self._read()

  def _read(self):
    try:
      with open(self._path, encoding='utf-8') as stream:
        content = json.load(stream)
      settings = dict(content['settings'])
      trials = {name: [Trial(**entry) for entry in content['trials'][name]]
                for name in self._trials}
    except (ValueError, KeyError, TypeError) as error:
      raise errors.InputError(
          f'{self._path}: damaged ({error}), expected what --largest has '
          'written; without it the trials begin anew') from error
    for key, value in self._settings.items():
      if settings.get(key) != value:
        raise errors.InputError(
            f'{self._path}: {key} is {settings.get(key)} there, got {value}; '
            'expected the same, or another --output')
    self._trials = trials

  def trials(self, contender: Contender) -> list[Trial]:
    """Returns a contender's trials in their order."""
    return self._trials[contender.name]

  def add(self, contender: Contender, trial: Trial) -> None:
    """Adds a trial and writes the file."""
    self._trials[contender.name].append(trial)
    atomic_file.write_json(self._path, {
        'settings': self._settings,
        'trials': {name: list(map(dataclasses.asdict, trials))
                   for name, trials in self._trials.items()},
        'run': self._run})
