"""Everything that is measured on one case, class by class, and its CSV table.

Where a class is empty, nothing is silently 0 or NaN: its `found` says which
mask lacks it, and what does not exist is None (an empty cell, null in JSON):

  found      prediction  truth   Dice   distances  recall
  'both'     there       there   exists exist      exists
  'missed'   empty       there   0      None       0
  'invented' there       empty   0      None       None
  'absent'   empty       empty   None   None       None

Means are over the cases in which a number exists, and their count is told.
"""

from collections.abc import Sequence
import csv
import dataclasses
import io
import math
import os

import numpy as np

from mtf_unet import atomic_file
from mtf_unet import config as config_lib
from mtf_unet import lesions
from mtf_unet import surface_distance

BOTH, MISSED, INVENTED, ABSENT = 'both', 'missed', 'invented', 'absent'
_MM3_PER_ML = 1000.0
# As spreadsheets take them for formulas when a cell begins so.
_FORMULA_STARTS = ('=', '+', '-', '@', '\t', '\r')


@dataclasses.dataclass(frozen=True)
class ClassScore:
  """One class of one case; what does not exist is None.

  Attributes:
    case: name.
    label: of the class.
    found: 'both', 'missed', 'invented' or 'absent'.
    dice: in 0 .. 1.
    hd95_mm: 95th percentile Hausdorff distance.
    assd_mm: average symmetric surface distance.
    volume_ml: of the prediction.
    true_volume_ml: of the truth.
    lesions: of the prediction, None where they are not counted.
    true_lesions: of the truth.
    lesions_found: of the truth's.
  """
  case: str
  label: int
  found: str
  dice: float | None
  hd95_mm: float | None
  assd_mm: float | None
  volume_ml: float
  true_volume_ml: float
  lesions: int | None = None
  true_lesions: int | None = None
  lesions_found: int | None = None

  @property
  def lesion_recall(self) -> float | None:
    """Lesions found / true lesions."""
    if not self.true_lesions:
      return None
    return self.lesions_found / self.true_lesions


def measure(name: str, prediction: np.ndarray, truth: np.ndarray,
            spacing_mm: tuple[float, float, float], num_classes: int,
            config: config_lib.EvaluationConfig) -> list[ClassScore]:
  """Measures every class but the background.

  Args:
    name: of the case.
    prediction: whole numbers [x, y, z], 0 .. num_classes - 1.
    truth: the same shape.
    spacing_mm: distance between voxels along each axis.
    num_classes: number of classes, the background included.
    config: what to measure.
  """
  return [
      _measure_class(name, label, prediction == label, truth == label,
                     spacing_mm, config)
      for label in range(1, num_classes)]


def _measure_class(name, label, prediction, truth, spacing_mm, config):
  predicted, true = (int(np.count_nonzero(m)) for m in (prediction, truth))
  both = int(np.count_nonzero(prediction & truth))
  voxel_ml = math.prod(spacing_mm) / _MM3_PER_ML
  distances = (surface_distance.surface_distances(
      prediction, truth, spacing_mm) if config.surface_distances else None)
  score = ClassScore(
      name, label, _found(predicted, true),
      2 * both / (predicted + true) if predicted + true else None,
      distances.hausdorff() if distances else None,
      distances.average if distances else None,
      predicted * voxel_ml, true * voxel_ml)
  if label in config.lesion_classes:
    counted = lesions.count(prediction, truth, config.lesion_overlap)
    score = dataclasses.replace(
        score, lesions=counted.predicted, true_lesions=counted.true,
        lesions_found=counted.found)
  return score


def _found(predicted, true):
  return {(True, True): BOTH, (False, True): MISSED, (True, False): INVENTED,
          (False, False): ABSENT}[predicted > 0, true > 0]


def as_json(score: ClassScore) -> dict:
  """Returns a score as JSON takes it, its recall included."""
  return dataclasses.asdict(score) | {'lesion_recall': score.lesion_recall}


def summarize(scores: Sequence[ClassScore]) -> list[dict]:
  """Sums up each class over the cases.

  Args:
    scores: of every class of every case.

  Returns:
    For each class, in order: 'label'; the number of cases by what was found
    ('both', 'missed', 'invented', 'absent'); means 'hd95_mm' and 'assd_mm'
    over the cases that have them, None without any; 'volume_error_ml', the
    mean of |predicted - true| over all cases; and of lesions the totals
    'lesions', 'true_lesions', 'lesions_found' and 'lesion_recall', found /
    true over all cases together, None where they are not counted.
  """
  result = []
  for label in sorted({score.label for score in scores}):
    rows = [score for score in scores if score.label == label]
    entry = {'label': label}
    for found in (BOTH, MISSED, INVENTED, ABSENT):
      entry[found] = sum(row.found == found for row in rows)
    for key in ('hd95_mm', 'assd_mm'):
      entry[key] = _mean([getattr(row, key) for row in rows])
    entry['volume_error_ml'] = _mean(
        [abs(row.volume_ml - row.true_volume_ml) for row in rows])
    for key in ('lesions', 'true_lesions', 'lesions_found'):
      counts = [getattr(row, key) for row in rows]
      entry[key] = None if None in counts else sum(counts)
    entry['lesion_recall'] = (entry['lesions_found'] / entry['true_lesions']
                              if entry['true_lesions'] else None)
    result.append(entry)
  return result


def _mean(values):
  counted = [value for value in values if value is not None]
  return float(np.mean(counted)) if counted else None


def format_table(summary: Sequence[dict]) -> str:
  """Returns the classes' means as lines of text; '-' does not exist.

  Args:
    summary: from `summarize`.
  """
  rows = [('', [f'class {entry["label"]}' for entry in summary])]
  for title, key, form in (
      ('HD95 mm', 'hd95_mm', '.3f'), ('ASSD mm', 'assd_mm', '.3f'),
      ('volume error ml', 'volume_error_ml', '.3f'),
      ('in both', BOTH, 'd'), ('missed', MISSED, 'd'),
      ('invented', INVENTED, 'd'), ('absent from both', ABSENT, 'd'),
      ('true lesions', 'true_lesions', 'd'),
      ('lesions found', 'lesions_found', 'd'),
      ('lesion recall', 'lesion_recall', '.3f')):
    cells = ['-' if entry[key] is None else format(entry[key], form)
             for entry in summary]
    # Where lesions are not counted, nothing is said of them.
    if 'lesion' not in key or set(cells) != {'-'}:
      rows.append((title, cells))
  width = max(len(title) for title, _ in rows)
  return '\n'.join(title.ljust(width) + ''.join(
      cell.rjust(10) for cell in cells) for title, cells in rows)


def write_csv(path: str | os.PathLike, scores: Sequence[ClassScore]) -> None:
  """Writes one row for each case and class.

  Args:
    path: of the file; its first row names the columns.
    scores: the rows; None becomes an empty cell.
  """
  columns = [field.name for field in dataclasses.fields(ClassScore)]
  columns.append('lesion_recall')
  text = io.StringIO(newline='')
  writer = csv.DictWriter(text, columns, lineterminator='\n')
  writer.writeheader()
  for score in scores:
    writer.writerow({**as_json(score), 'case': _plain_text(score.case)})
  with atomic_file.replacing(path) as stream:
    stream.write(text.getvalue().encode('utf-8'))


def _plain_text(name):
  """Keeps a spreadsheet from running a name as a formula."""
  return f"'{name}" if name.startswith(_FORMULA_STARTS) else name
