import numpy as np
import pytest

from mtf_unet import lesions


def _row(text):
  """A row of voxels: '#' inside, '.' outside."""
  return np.array([[[c == '#' for c in text]]])


@pytest.mark.parametrize('prediction, truth, expected', [
    ('.........', '.........', (0, 0, 0)),
    ('.##......', '.........', (0, 1, 0)),
    ('.........', '.##..##..', (2, 0, 0)),
    ('.##..##..', '.##..##..', (2, 2, 2)),
    ('.##......', '.##..##..', (2, 1, 1)),
    # Half of the union is not more than half; two thirds are.
    ('.##......', '.####....', (1, 1, 0)),
    ('.###.....', '.####....', (1, 1, 1)),
    # One predicted lesion joins two true ones: 6 of 7 voxels.
    ('.#######.', '.###.###.', (2, 1, 2)),
    ('.#####...', '.#...#...', (2, 1, 0)),
    # Two predicted lesions make up one true one: 6 of 7 voxels.
    ('.###.###.', '.#######.', (1, 2, 1)),
    # What touches nothing takes nothing away.
    ('.##....##', '.##......', (1, 2, 1)),
], ids=['nothing', 'invented', 'missed', 'found', 'one found',
        'half', 'three quarters', 'joined', 'joined too widely',
        'in two pieces', 'one invented'])
def test_lesions_are_counted_as_the_challenge_says(prediction, truth, expected):
  came = lesions.count(_row(prediction), _row(truth))
  assert (came.true, came.predicted, came.found) == expected


def test_a_true_lesion_goes_to_the_prediction_that_covers_most_of_it():
  # The right true lesion belongs to the right prediction, so the left one is
  # judged alone: 2 of 5 voxels.
  came = lesions.count(_row('.####.###'), _row('.##.#####'))
  assert (came.true, came.predicted, came.found) == (2, 2, 1)


def test_lesions_that_touch_at_an_edge_are_two():
  mask = np.zeros((3, 3, 3), bool)
  mask[0, 0, 0] = mask[1, 1, 0] = True
  assert lesions.count(mask, mask).true == 2


def test_the_overlap_that_is_wanted_can_be_chosen():
  prediction, truth = _row('.##......'), _row('.####....')
  assert lesions.count(prediction, truth, min_overlap=0.4).found == 1


@pytest.mark.parametrize('count, recall', [
    (lesions.LesionCount(4, 1, 1), 0.25), (lesions.LesionCount(0, 3, 0), None)])
def test_recall_exists_only_where_there_are_lesions(count, recall):
  assert count.recall == recall
