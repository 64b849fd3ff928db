"""What a table of a paper is: rows, and the jobs that fill them.

No number of ours stands in a table's definition. A cell of ours names the
metrics file and the key that it is read from; see `metrics_files`.
"""

from collections.abc import Mapping
import dataclasses
import re
from typing import Any

# A way into a JSON file: a key, the number of a list's entry, or a mapping
# that picks the one entry of a list that has these values.
Step = str | int | Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Published:
  """A figure of a paper.

  Attributes:
    text: as it is printed; '' where the paper's figure is not available.
    source: where it stands.
    unverified: remembered, not looked up; so labelled wherever it is shown.
  """
  text: str = ''
  source: str = ''
  unverified: bool = False

  def __post_init__(self):
    assert bool(self.text) == bool(self.source), (self.text, self.source)

  @property
  def number(self) -> float | None:
    """The figure to draw; None for words and for several numbers."""
    is_number = re.fullmatch(r'[-+]?[\d.]+(e-?\d+)?', self.text)
    return float(self.text) if is_number else None


@dataclasses.dataclass(frozen=True)
class Reading:
  """Where a number of ours stands.

  Attributes:
    file: metrics file below the folder of runs; `*` stands for a number, of
      which the highest counts (`eval/metrics-*.json`).
    path: way to the number in it.
    form: how it is printed, a format specification.
    scale: what it is multiplied by before.
  """
  file: str
  path: tuple[Step, ...]
  form: str = '.4f'
  scale: float = 1.0


@dataclasses.dataclass(frozen=True)
class Row:
  """One line of a table.

  Attributes:
    name: what was trained or measured.
    paper: the paper's figure.
    ours: where ours is read from; None where nothing here measures it.
    setting: what ours is of.
  """
  name: str
  paper: Published = Published()
  ours: Reading | None = None
  setting: str = ''


@dataclasses.dataclass(frozen=True)
class PaperJob:
  """The real job.

  Attributes:
    name: what it trains.
    commands: arguments after `python`, each a list that begins with a script;
      words in capitals stand for the user's own paths.
    resources: what it takes.
    time: how long, if the paper tells, with its source.
    dry_run: what has every command build its job without data.
  """
  name: str
  commands: tuple[tuple[str, ...], ...]
  resources: str
  time: str = 'not known'
  dry_run: tuple[str, ...] = ('--dry_run',)


@dataclasses.dataclass(frozen=True)
class SmallJob:
  """What runs here.

  Attributes:
    file: metrics file that it leaves, as in `Reading`; a job whose file is
      there is done.
    command: arguments after `python`; `{runs}` is the folder of runs, and
      `{NAME}` the flag --NAME of an input.
    time: how long it takes, and where that was measured.
  """
  file: str
  command: tuple[str, ...]
  time: str = 'not known'

  @property
  def inputs(self) -> list[str]:
    """Names of the flags that the command needs."""
    found = re.findall(r'\{(\w+)\}', ' '.join(self.command))
    return sorted(set(found) - {'runs'})


@dataclasses.dataclass(frozen=True)
class LinePlot:
  """Numbers of ours over a setting.

  Attributes:
    setting: the horizontal axis, with unit.
    series: title and (setting, reading) of each point, for each line.
  """
  setting: str
  series: tuple[tuple[str, tuple[tuple[float, Reading], ...]], ...]


@dataclasses.dataclass(frozen=True)
class Table:
  """A table or headline of a paper.

  Attributes:
    name: for the command line and the files.
    title: one line.
    quantity: what the figures are, with unit.
    rows: the lines.
    paper_jobs: at the paper's scale.
    small_jobs: here, in this order.
    notes: said below the table.
    curves: (title, metrics file) of runs whose loss is drawn, see
      `loss_curves`.
    plot: drawn beside the bars, where there is one.
  """
  name: str
  title: str
  quantity: str
  rows: tuple[Row, ...]
  paper_jobs: tuple[PaperJob, ...] = ()
  small_jobs: tuple[SmallJob, ...] = ()
  notes: tuple[str, ...] = ()
  curves: tuple[tuple[str, str], ...] = ()
  plot: LinePlot | None = None

  @property
  def inputs(self) -> list[str]:
    """Names of the flags that the small jobs need."""
    return sorted({name for job in self.small_jobs for name in job.inputs})
