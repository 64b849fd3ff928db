"""Which lesions of the truth a prediction finds, as the LiTS challenge counts.

Lesions are the components of a mask that hang together through faces. After
the matching of the challenge (Bilic et al., arXiv:1901.04056, and its
evaluation code):
  1. lesions of the truth that one predicted lesion joins become one group (a
     lesion goes to the predicted one that covers most of it);
  2. each predicted lesion belongs to the group that it covers most of, and
     those of one group are joined;
  3. a group is found where intersection / union of the joined lesions exceeds
     one half; all its lesions then count as found.
The challenge's code subtracts a group that it does not find once for each of
its lesions though it had counted it once; here lesions are counted throughout.
"""

import dataclasses

import numpy as np
from scipy import ndimage


@dataclasses.dataclass(frozen=True)
class LesionCount:
  """Lesions of one case.

  Attributes:
    true: lesions of the truth.
    predicted: lesions of the prediction.
    found: lesions of the truth that the prediction finds.
  """
  true: int
  predicted: int
  found: int

  @property
  def recall(self) -> float | None:
    """Found / true; None where the truth has no lesion."""
    return self.found / self.true if self.true else None


def count(prediction: np.ndarray, truth: np.ndarray,
          min_overlap: float = 0.5) -> LesionCount:
  """Counts true, predicted and found lesions.

  Args:
    prediction: bool [x, y, z].
    truth: bool of the same shape.
    min_overlap: intersection over union that must be exceeded.
  """
  predicted, num_predicted = ndimage.label(prediction)
  true, num_true = ndimage.label(truth)
  overlaps = _overlaps(predicted, true, num_predicted, num_true)
  groups = _groups(overlaps)
  owners = _owners(overlaps, groups)
  voxels = [np.bincount(labels.ravel(), minlength=n + 1)[1:]
            for labels, n in ((predicted, num_predicted), (true, num_true))]
  found = 0
  for group in set(groups.tolist()):
    members, joined = groups == group, owners == group
    both = overlaps[np.ix_(joined, members)].sum()
    union = voxels[0][joined].sum() + voxels[1][members].sum() - both
    if both > min_overlap * union:
      found += int(members.sum())
  return LesionCount(num_true, num_predicted, found)


def _overlaps(predicted, true, num_predicted, num_true):
  """Voxels in common, [predicted lesions, true lesions]."""
  inside = (predicted > 0) & (true > 0)
  pairs = ((predicted[inside].astype(np.int64) - 1) * num_true
           + true[inside] - 1)
  return np.bincount(pairs, minlength=num_predicted * num_true).reshape(
      num_predicted, num_true)


def _groups(overlaps):
  """Each true lesion's group: the first of those that are joined with it."""
  groups = np.arange(overlaps.shape[1])
  if not overlaps.size:
    return groups
  best = np.where(overlaps.any(axis=0), np.argmax(overlaps, axis=0), -1)
  for lesion in np.unique(best[best >= 0]):
    members = np.flatnonzero(best == lesion)
    groups[members] = members[0]
  return groups


def _owners(overlaps, groups):
  """Each predicted lesion's group, -1 where it touches none."""
  owners = np.full(len(overlaps), -1)
  for index, row in enumerate(overlaps):
    if row.any():
      covered = np.bincount(groups, weights=row, minlength=len(row))
      owners[index] = np.argmax(covered)
  return owners
