"""Dice of label maps: per class, per case, over all voxels.

Dice = 2 |P and T| / (|P| + |T|) for prediction P and truth T. A class that is
absent from both has no Dice: as in nnU-Net the case is left out of that
class's mean, and the summary counts it.
"""

import dataclasses
import math
import os

import numpy as np

from mtf_unet import atomic_file


@dataclasses.dataclass(frozen=True)
class CaseScore:
  """Voxel counts of one case.

  Attributes:
    name: of the case.
    counts: int64 [classes, 3], voxels in both, in the prediction, in the
      truth.
  """
  name: str
  counts: np.ndarray

  @property
  def dice(self) -> np.ndarray:
    """Dice of each class, [classes]; NaN where it is absent from both."""
    return dice_from_counts(self.counts)


def score_case(name: str, prediction: np.ndarray, truth: np.ndarray,
               num_classes: int) -> CaseScore:
  """Counts the voxels of each class.

  Args:
    name: of the case.
    prediction: whole numbers 0 .. num_classes - 1, any shape.
    truth: the same shape.
    num_classes: number of classes, the background included.

  Returns:
    A CaseScore.

  Raises:
    ValueError: if the shapes differ.
  """
  if prediction.shape != truth.shape:
    raise ValueError(f'{name}: prediction of shape {prediction.shape}, '
                     f'expected {truth.shape} as the truth')
  pairs = truth.astype(np.int64) * num_classes + prediction
  table = np.bincount(pairs.ravel(), minlength=num_classes**2).reshape(
      num_classes, num_classes)
  return CaseScore(name, np.stack(
      [np.diag(table), table.sum(axis=0), table.sum(axis=1)], axis=1))


def dice_from_counts(counts: np.ndarray) -> np.ndarray:
  """Returns Dice [classes] from counts [classes, 3]; see `CaseScore`."""
  both, predicted, true = np.moveaxis(counts.astype(np.float64), -1, 0)
  with np.errstate(invalid='ignore'):
    return 2 * both / (predicted + true)


def dice_per_class(prediction: np.ndarray, truth: np.ndarray,
                   num_classes: int) -> np.ndarray:
  """Returns Dice [classes] of two label maps; NaN where absent from both."""
  return score_case('', prediction, truth, num_classes).dice


def summarize(scores: list[CaseScore]) -> dict:
  """Sums up cases; the background (class 0) counts nowhere.

  Args:
    scores: of every case once.

  Returns:
    What `write_json` writes and `format_table` prints:
      'cases': [{'name', 'dice': [Dice of class 1, 2, ...]}];
      'classes': [{'label', 'mean' over the cases that count, 'cases' that
        count, 'left_out', 'global' Dice of all cases' voxels together}];
      'mean': over the classes' means.
    A Dice that does not exist is None.
  """
  dice = np.stack([score.dice for score in scores])[:, 1:]
  over_all = dice_from_counts(sum(score.counts for score in scores))[1:]
  classes = []
  for index, column in enumerate(dice.T):
    counted = column[~np.isnan(column)]
    classes.append({
        'label': index + 1,
        'mean': float(counted.mean()) if counted.size else None,
        'cases': int(counted.size),
        'left_out': int(column.size - counted.size),
        'global': _number(over_all[index]),
    })
  means = [entry['mean'] for entry in classes if entry['mean'] is not None]
  return {
      'mean': float(np.mean(means)) if means else None,
      'classes': classes,
      'cases': [{'name': score.name, 'dice': [_number(d) for d in row]}
                for score, row in zip(scores, dice)],
  }


def format_table(summary: dict) -> str:
  """Returns the summary as lines of text: cases, then classes, then the mean.

  Args:
    summary: from `summarize`.
  """
  classes = summary['classes']
  width = max([len(case['name']) for case in summary['cases']]
              + [len('cases left out')])

  def line(name, cells):
    return name.ljust(width) + ''.join(cell.rjust(10) for cell in cells)

  lines = [line('Dice', [f'class {entry["label"]}' for entry in classes])]
  for case in summary['cases']:
    lines.append(line(case['name'], map(_cell, case['dice'])))
  lines.append('-' * len(lines[0]))
  lines.append(line('mean of cases', (_cell(e['mean']) for e in classes)))
  lines.append(line('all voxels', (_cell(e['global']) for e in classes)))
  lines.append(line('cases left out', (str(e['left_out']) for e in classes)))
  lines.append(line('mean of classes', [_cell(summary['mean'])]))
  return '\n'.join(lines)


def write_json(path: str | os.PathLike, summary: dict) -> None:
  """Writes a summary as strict JSON; what does not exist is null."""
  atomic_file.write_json(path, summary)


def _number(value):
  return None if math.isnan(value) else float(value)


def _cell(value):
  return '-' if value is None else f'{value:.4f}'
