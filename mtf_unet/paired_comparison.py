"""Compares two networks on the same cases, case by case.

Cases differ more from each other than networks do, so the interval is that of
the mean difference within a case, not of the difference of two means.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import os

import numpy as np
from scipy import stats

from mtf_unet import errors

MEASURES = ('dice', 'hd95_mm', 'assd_mm')
_CONFIDENCE = 0.95
_RESAMPLES = 10_000

# By case and label.
Scores = Mapping[tuple[str, int], float | None]


@dataclasses.dataclass(frozen=True)
class Difference:
  """The mean difference of one measure, second network less first.

  Attributes:
    measure: one of `MEASURES`.
    label: of the class; None for the mean over the classes of a case.
    cases: in which both networks have the measure.
    left_out: in which one of them has not.
    first: mean of the first network over those cases.
    second: of the second.
    low: of the difference, lower end of the 95 % interval.
    high: upper end.
  """
  measure: str
  label: int | None
  cases: int
  left_out: int
  first: float
  second: float
  low: float
  high: float

  @property
  def mean(self) -> float:
    """Of the difference."""
    return self.second - self.first


def read(path: str | os.PathLike) -> dict[str, Scores]:
  """Reads the scores of `metrics-STEP.json` by measure.

  Raises:
    InputError: the file is not there or holds no scores by case.
  """
  try:
    with open(path, encoding='utf-8') as stream:
      rows = json.load(stream)['case_measures']
    scores = {measure: {(str(row['case']), int(row['label'])): _number(
        row[measure]) for row in rows} for measure in MEASURES}
  except OSError as error:
    raise errors.InputError(f'{path}: {error.strerror}, expected the '
                            'metrics-STEP.json of an evaluation') from error
  except (ValueError, KeyError, TypeError) as error:
    raise errors.InputError(
        f'{path}: no scores by case ({error!r}), expected the '
        'metrics-STEP.json of an evaluation') from error
  if not rows:
    raise errors.InputError(f'{path}: no case, expected one or more')
  return scores


def _number(value):
  return None if value is None else float(value)


def compare(first: Mapping[str, Scores], second: Mapping[str, Scores],
            seed: int = 0) -> list[Difference]:
  """Compares all measures: the mean over the classes, then each class.

  Args:
    first: of `read`.
    second: of the same cases and classes.
    seed: of the bootstrap.

  Returns:
    The differences; measures without a case in common are left out.

  Raises:
    InputError: the cases or classes are not the same.
  """
  keys = sorted(first[MEASURES[0]])
  other = set(second[MEASURES[0]]).symmetric_difference(keys)
  if other:
    case, label = min(other)
    raise errors.InputError(
        f'scores: class {label} of {case!r} is in one of the files alone, '
        'expected the same cases and classes in both')
  cases = sorted({case for case, _ in keys})
  labels = sorted({label for _, label in keys})
  found = []
  for measure in MEASURES:
    groups = [None, *labels] if len(labels) > 1 else labels
    for label in groups:
      chosen = labels if label is None else [label]
      pairs = [(_mean(first[measure], case, chosen),
                _mean(second[measure], case, chosen)) for case in cases]
      complete = np.array([pair for pair in pairs if None not in pair])
      if complete.size:
        found.append(Difference(
            measure, label, len(complete), len(pairs) - len(complete),
            *complete.mean(axis=0).tolist(),
            *_interval(complete[:, 1] - complete[:, 0], seed)))
  return found


def _mean(scores, case, labels):
  """Of a case over the labels; None where one of them has no score."""
  values = [scores.get((case, label)) for label in labels]
  return None if None in values else float(np.mean(values))


def _interval(differences: np.ndarray, seed: int) -> tuple[float, float]:
  """The bias-corrected and accelerated bootstrap's (Efron 1987)."""
  # One case says nothing of others; equal differences have no spread.
  if len(differences) == 1:
    return float('-inf'), float('inf')
  if np.ptp(differences) == 0:
    return float(differences[0]), float(differences[0])
  interval = stats.bootstrap(
      (differences,), np.mean, n_resamples=_RESAMPLES,
      confidence_level=_CONFIDENCE, method='BCa',
      rng=np.random.default_rng(seed)).confidence_interval
  return float(interval.low), float(interval.high)


def format_table(differences: Sequence[Difference]) -> str:
  """Returns a Markdown table."""
  lines = ['| measure | class | cases | first | second | difference | '
           '95 % interval |', '|---|---|---|---|---|---|---|']
  for row in differences:
    cases = f'{row.cases}'
    if row.left_out:
      cases += f' ({row.left_out} left out)'
    label = 'mean' if row.label is None else row.label
    lines.append(
        f'| {row.measure} | {label} | {cases} | {row.first:.4f} | '
        f'{row.second:.4f} | {row.mean:+.4f} | {row.low:+.4f} to '
        f'{row.high:+.4f} |')
  return '\n'.join(lines)
