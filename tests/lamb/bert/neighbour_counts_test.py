import numpy as np
import pytest

from tests.lamb.bert import neighbour_counts

# 1 3 5 is as frequent as 2 4 6; 0 stands between them.
_TEXT = np.array([0, 1, 3, 5, 0, 2, 4, 6] * 50 + [0, 1, 4, 6])


def test_neighbours_come_by_their_frequency():
  counts = neighbour_counts.Counts(_TEXT, 8)
  assert counts.after(1).tolist() == [3, 4]
  assert counts.before(4).tolist() == [2, 1]
  assert counts.after(7).tolist() == [0]  # never seen: the most frequent


def test_both_neighbours_decide_together():
  counts = neighbour_counts.Counts(_TEXT, 8)
  assert counts.between(1, 5) == 3
  assert counts.between(1, 6) == 4


def test_accuracies_are_worked_by_hand():
  counts = neighbour_counts.Counts(_TEXT[:-4], 8)
  found = neighbour_counts.accuracies(counts, _TEXT[:401], places=399)
  assert found['alone'] == pytest.approx(99 / 399)
  # All but what follows a 0, which is 1 or 2.
  assert found['before'] == pytest.approx(1 - 50 / 399, abs=0.01)
  assert found['between'] == 1
  assert 0.9 < found['between, some masked'] < 1
