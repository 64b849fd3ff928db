import csv
import json

import numpy as np
import pytest

from mtf_unet import case_scores
from mtf_unet import config as config_lib

_SPACING_MM = (1.0, 2.0, 5.0)
_CONFIG = config_lib.EvaluationConfig(lesion_classes=(2,))


def _measure(prediction, truth, config=_CONFIG, name='a'):
  """One row of voxels along x."""
  prediction, truth = (np.array(row, np.uint8)[:, None, None]
                       for row in (prediction, truth))
  return case_scores.measure(name, prediction, truth, _SPACING_MM, 3, config)


def test_a_worked_example():
  first, second = _measure([0, 1, 1, 1, 0, 2], [0, 1, 1, 0, 0, 2])
  assert first.found == 'both'
  assert first.dice == pytest.approx(2 * 2 / (3 + 2))
  # The prediction's surface voxels are 0, 0 and 1 mm away, the truth's 0.
  assert first.assd_mm == pytest.approx(1 / 3 / 2)
  assert first.hd95_mm == pytest.approx(0.9)
  assert first.volume_ml == pytest.approx(3 * 10 / 1000)
  assert first.true_volume_ml == pytest.approx(2 * 10 / 1000)
  assert first.lesions is None
  assert (second.lesions, second.true_lesions, second.lesions_found) == (
      1, 1, 1)
  assert second.lesion_recall == 1.0


@pytest.mark.parametrize('prediction, truth, found, dice, recall', [
    ([0, 2], [0, 2], 'both', 1.0, 1.0), ([0, 0], [0, 2], 'missed', 0.0, 0.0),
    ([0, 2], [0, 0], 'invented', 0.0, None),
    ([0, 0], [0, 0], 'absent', None, None)],
    ids=['both', 'missed', 'invented', 'absent'])
def test_an_empty_class_is_never_silently_0_or_nan(prediction, truth, found,
                                                   dice, recall):
  score = _measure(prediction, truth)[1]
  assert (score.found, score.dice) == (found, dice)
  assert score.lesion_recall == recall
  distance = 0.0 if found == 'both' else None
  assert (score.hd95_mm, score.assd_mm) == (distance, distance)


def test_distances_can_be_left_out():
  config = config_lib.EvaluationConfig(surface_distances=False)
  score = _measure([0, 1], [0, 1], config)[0]
  assert (score.dice, score.hd95_mm, score.true_lesions) == (1.0, None, None)


@pytest.fixture(name='scores')
def _scores():
  return (_measure([0, 1, 1, 2, 0, 2], [0, 1, 2, 2, 0, 2], name='=1+1')
          + _measure([0, 1, 0, 2, 0, 0], [0, 1, 0, 0, 0, 0], name='b')
          + _measure([0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 2, 2], name='c'))


def test_summary_counts_cases_and_means_over_those_that_exist(scores):
  first, second = case_scores.summarize(scores)
  assert (first['both'], first['missed'], first['invented'],
          first['absent']) == (2, 1, 0, 0)
  assert (second['both'], second['missed'], second['invented']) == (1, 1, 1)
  assert first['hd95_mm'] == pytest.approx((0.95 + 0) / 2)
  assert first['volume_error_ml'] == pytest.approx((10 + 0 + 10) / 3 / 1000)
  assert first['lesion_recall'] is None
  # Case 'a' has two lesions, of which half of one and the other are found.
  assert (second['true_lesions'], second['lesions_found']) == (3, 1)
  assert second['lesion_recall'] == pytest.approx(1 / 3)


def test_summary_is_strict_json(scores):
  json.dumps(case_scores.summarize(scores), allow_nan=False)
  json.dumps([case_scores.as_json(score) for score in scores],
             allow_nan=False)


def test_a_class_that_no_case_has_in_both_has_no_mean():
  entry = case_scores.summarize(_measure([0, 1], [0, 0]))[0]
  assert (entry['hd95_mm'], entry['invented']) == (None, 1)
  assert case_scores.format_table([entry]).splitlines()[1].split() == [
      'HD95', 'mm', '-']


def test_table_speaks_of_lesions_only_where_they_are_counted(scores):
  table = case_scores.format_table(case_scores.summarize(scores))
  assert table.splitlines()[-1].split() == ['lesion', 'recall', '-', '0.333']
  plain = _measure([0, 1], [0, 1], config_lib.EvaluationConfig())
  assert 'lesion' not in case_scores.format_table(
      case_scores.summarize(plain))


def test_csv_has_a_row_for_each_case_and_class(tmp_path, scores):
  case_scores.write_csv(tmp_path / 'a.csv', scores)
  with open(tmp_path / 'a.csv', encoding='utf-8', newline='') as file:
    rows = list(csv.DictReader(file))
  assert [(row['case'], row['label']) for row in rows] == [
      ("'=1+1", '1'), ("'=1+1", '2'), ('b', '1'), ('b', '2'), ('c', '1'),
      ('c', '2')]
  assert rows[3]['found'] == 'invented'
  assert (rows[3]['dice'], rows[3]['hd95_mm']) == ('0.0', '')
  assert rows[5]['lesion_recall'] == '0.0'
  assert not any('nan' in ''.join(row.values()) for row in rows)
