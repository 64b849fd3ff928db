import json

import numpy as np
import pytest

from mtf_unet import metrics

_TRUTH = np.array([0, 0, 1, 1, 1, 2])
_PREDICTION = np.array([0, 1, 1, 1, 2, 2])


def _score(name, prediction, truth, classes=3):
  return metrics.score_case(
      name, np.array(prediction), np.array(truth), classes)


def test_dice_of_a_worked_example():
  np.testing.assert_allclose(
      metrics.dice_per_class(_PREDICTION, _TRUTH, 3), [2 / 3, 2 / 3, 2 / 3])


def test_counts_are_intersection_prediction_truth():
  np.testing.assert_array_equal(
      _score('a', _PREDICTION, _TRUTH).counts,
      [[1, 1, 2], [2, 3, 3], [1, 2, 1]])


def test_counting_uint8_labels_does_not_overflow():
  truth = np.full((50, 50, 50), 200, np.uint8)
  dice = metrics.dice_per_class(truth, truth, 255)
  assert dice[200] == 1
  assert np.isnan(dice[199])


@pytest.mark.parametrize('prediction, truth, expected', [
    ([0, 0], [0, 0], np.nan), ([0, 1], [0, 0], 0.0), ([0, 0], [0, 1], 0.0),
    ([0, 1], [0, 1], 1.0)],
    ids=['absent from both', 'invented', 'missed', 'found'])
def test_dice_of_an_absent_class(prediction, truth, expected):
  dice = metrics.dice_per_class(np.array(prediction), np.array(truth), 2)
  np.testing.assert_equal(dice[1], expected)


def test_another_shape_is_refused():
  with pytest.raises(ValueError, match='case_7'):
    _score('case_7', [0, 1], [0, 1, 1])


@pytest.fixture
def summary():
  return metrics.summarize([
      _score('both', [0, 1, 1, 2], [0, 1, 2, 2]),
      _score('no lesion', [0, 1, 1, 1], [0, 1, 1, 1]),
      _score('invented', [2, 1, 1, 1], [0, 1, 1, 1]),
  ])


def test_a_class_absent_from_both_is_left_out_and_counted(summary):
  liver, lesion = summary['classes']
  assert liver['cases'] == 3 and liver['left_out'] == 0
  assert lesion['cases'] == 2 and lesion['left_out'] == 1
  assert lesion['mean'] == pytest.approx((2 / 3 + 0) / 2)
  assert summary['mean'] == pytest.approx((liver['mean'] + lesion['mean']) / 2)
  assert summary['cases'][1]['dice'] == [1.0, None]


def test_global_dice_is_over_all_voxels(summary):
  assert summary['classes'][1]['global'] == pytest.approx(2 * 1 / (2 + 2))
  assert summary['classes'][0]['global'] == pytest.approx(2 * 7 / (8 + 7))


def test_a_class_that_no_case_has_does_not_spoil_the_mean():
  summary = metrics.summarize([_score('a', [0, 1], [0, 1])])
  assert summary['classes'][1] == {
      'label': 2, 'mean': None, 'cases': 0, 'left_out': 1, 'global': None}
  assert summary['mean'] == 1.0


def test_written_json_is_strict(tmp_path, summary):
  metrics.write_json(tmp_path / 'report.json', summary)

  def refuse(word):
    raise AssertionError(word)
  text = (tmp_path / 'report.json').read_text()
  assert json.loads(text, parse_constant=refuse) == summary
  assert 'null' in text


def test_table_names_cases_classes_and_what_was_left_out(summary):
  lines = metrics.format_table(summary).splitlines()
  assert lines[0].split() == ['Dice', 'class', '1', 'class', '2']
  assert lines[2].split() == ['no', 'lesion', '1.0000', '-']
  assert lines[-2].split() == ['cases', 'left', 'out', '0', '1']
  assert len({len(line) for line in lines[:-1]}) == 1
