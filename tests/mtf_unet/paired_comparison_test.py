import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from mtf_unet import errors
from mtf_unet import paired_comparison

_SCRIPT = (pathlib.Path(__file__).parents[2]
           / 'scripts/mtf_unet/compare_scores.py')


def _write(path, dice, hd95=2.0):
  """dice: [cases, classes]."""
  path.write_text(json.dumps({'case_measures': [
      {'case': f'case {number}', 'label': label, 'dice': value,
       'hd95_mm': hd95, 'assd_mm': None}
      for number, row in enumerate(dice)
      for label, value in enumerate(row, 1)]}), encoding='utf-8')
  return path


def _scores(tmp_path, name, dice):
  return paired_comparison.read(_write(tmp_path / name, dice))


def test_interval_is_that_of_the_differences(tmp_path):
  random = np.random.default_rng(1)
  first = random.uniform(0.2, 0.9, [60, 1])
  second = first + random.normal(0.01, 0.005, first.shape)
  row = paired_comparison.compare(
      _scores(tmp_path, 'a', first.tolist()),
      _scores(tmp_path, 'b', second.tolist()))[0]
  mean = np.mean(second - first)
  half = stats.t.ppf(0.975, 59) * stats.sem(np.ravel(second - first))
  assert row.mean == pytest.approx(mean)
  # The cases' own spread, some 0.2, is not in it.
  assert row.low == pytest.approx(mean - half, abs=half / 5)
  assert row.high == pytest.approx(mean + half, abs=half / 5)


def test_classes_and_their_mean_are_compared(tmp_path):
  first = _scores(tmp_path, 'a', [[0.5, 0.7], [0.6, 0.8]])
  second = _scores(tmp_path, 'b', [[0.6, 0.7], [0.7, 0.8]])
  rows = paired_comparison.compare(first, second)
  dice = {row.label: row for row in rows if row.measure == 'dice'}
  assert dice[None].first == pytest.approx(0.65)
  assert dice[None].mean == pytest.approx(0.05)
  assert dice[1].mean == pytest.approx(0.1)
  assert dice[2].mean == dice[2].low == dice[2].high == 0
  # No case has a surface distance.
  assert {row.measure for row in rows} == {'dice', 'hd95_mm'}


def test_case_without_a_score_is_left_out_and_counted(tmp_path):
  first = _scores(tmp_path, 'a', [[0.5], [None], [0.7]])
  second = _scores(tmp_path, 'b', [[0.6], [0.9], [0.7]])
  rows = paired_comparison.compare(first, second)
  assert (rows[0].cases, rows[0].left_out) == (2, 1)
  assert rows[0].second == pytest.approx(0.65)
  assert '2 (1 left out)' in paired_comparison.format_table(rows)


def test_one_case_has_no_interval(tmp_path):
  scores = _scores(tmp_path, 'a', [[0.5]])
  row = paired_comparison.compare(scores, scores)[0]
  assert (row.low, row.high) == (-np.inf, np.inf)


def test_other_cases_are_told(tmp_path):
  with pytest.raises(errors.InputError, match=(
      "class 1 of 'case 1' is in one of the files alone")):
    paired_comparison.compare(_scores(tmp_path, 'a', [[0.5]]),
                              _scores(tmp_path, 'b', [[0.5], [0.6]]))


@pytest.mark.parametrize('content, message', [
    (None, 'No such file'), ('{', 'no scores by case'),
    ('{"mean": 0.9}', "KeyError.'case_measures'"),
    ('{"case_measures": []}', 'no case, expected one or more')])
def test_file_without_scores_is_told(tmp_path, content, message):
  path = tmp_path / 'metrics-1.json'
  if content is not None:
    path.write_text(content, encoding='utf-8')
  with pytest.raises(errors.InputError, match=message):
    paired_comparison.read(path)


def test_script_prints_the_table(tmp_path):
  first = _write(tmp_path / 'a', [[0.5], [0.6]])
  second = _write(tmp_path / 'b', [[0.6], [0.8]])
  result = subprocess.run(
      [sys.executable, _SCRIPT, f'--first={first}', f'--second={second}'],
      capture_output=True, text=True, check=True)
  assert '| dice | 1 | 2 | 0.5500 | 0.7000 | +0.1500 |' in result.stdout
