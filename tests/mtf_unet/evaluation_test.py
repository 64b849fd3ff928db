import dataclasses
import json

import numpy as np
import pytest

from mtf_unet import config as config_lib
from mtf_unet import evaluation
from mtf_unet import preprocess
from tests.mtf_unet import grids
from tests.mtf_unet import jobs

_CONFIG = config_lib.Config(data=config_lib.DataConfig(size=(8, 8, 4)))


class _Oracle:
  """Knows the label: the image holds it."""

  def __init__(self):
    self.calls = 0

  def probabilities(self, image):
    self.calls += 1
    return np.eye(3, dtype=np.float32)[np.rint(image[..., 0]).astype(int)]


def _cases(count):
  result = jobs.cases(count, _CONFIG)
  for case in result:
    case.image[..., 0] = case.label
  return result


def test_every_case_counts_once_and_progress_is_told():
  oracle, told = _Oracle(), []
  summary = evaluation.evaluate(oracle, _cases(3), _CONFIG,
                                lambda *state: told.append(state))
  assert oracle.calls == 3
  assert [case['name'] for case in summary['cases']] == [
      'case_0', 'case_1', 'case_2']
  assert summary['mean'] == 1.0
  assert told == [(1, 3), (2, 3), (3, 3)]


def test_scores_are_of_the_file_s_own_grid():
  # Seen upside down and padded; the truth lies in the file's orientation.
  case = _cases(1)[0]
  native = np.zeros((4, 8, 6), np.uint8)
  native[1:3, 2:5, 1:4] = 2
  geometry = preprocess.Geometry(
      native.shape, (1.0, 2.0, 3.0), (2, 1, 0), (-1, 1, -1), (6, 8, 4),
      (8, 8, 4))
  seen = grids.network_label(native, geometry)
  case.image[..., 0] = seen
  case = case.__class__(case.name, case.image, seen, native, (1.0, 2.0, 3.0),
                        geometry)
  summary = evaluation.evaluate(_Oracle(), [case], _CONFIG)
  assert summary['classes'][1]['mean'] == 1.0
  # Class 1 is absent from both: left out, and said so.
  assert summary['classes'][0]['mean'] is None
  assert summary['classes'][0]['left_out'] == 1


def test_details_are_measured_in_mm_on_the_file_s_own_grid():
  case = _cases(1)[0]
  native = np.zeros(case.label.shape, np.uint8)
  native[2:5, 2:5, 1] = 1
  moved = np.roll(native, 1, axis=0)
  case.image[..., 0] = moved
  case = dataclasses.replace(case, native_label=native,
                             native_spacing_mm=(2.5, 1.0, 1.0))
  summary, scores = evaluation.evaluate_in_detail(_Oracle(), [case], _CONFIG)
  assert [score.found for score in scores] == ['both', 'absent']
  assert scores[0].hd95_mm == 2.5
  assert scores[0].volume_ml == pytest.approx(9 * 2.5 / 1000)
  assert summary['measures'][0]['hd95_mm'] == 2.5
  assert summary['case_measures'][0]['dice'] == summary['cases'][0]['dice'][0]


def test_the_largest_component_is_kept_before_scoring():
  case = _cases(1)[0]
  native = np.zeros(case.label.shape, np.uint8)
  native[2:5, 2:5, 1] = 1
  case.image[..., 0] = native
  case.image[7, 7, 3, 0] = 1
  case = dataclasses.replace(case, native_label=native)
  config = dataclasses.replace(_CONFIG, prediction=config_lib.PredictionConfig(
      largest_component=(1,)))
  assert evaluation.evaluate(_Oracle(), [case], _CONFIG)['mean'] < 1
  assert evaluation.evaluate(_Oracle(), [case], config)['mean'] == 1


def test_scores_are_written_as_json_and_curves(tmp_path):
  summary = evaluation.evaluate(_Oracle(), _cases(2), _CONFIG)
  path = evaluation.write_scores(str(tmp_path), summary, 40, {'seed': 3})
  assert path == str(tmp_path / 'metrics-40.json')
  assert json.loads((tmp_path / 'metrics-40.json').read_text()) == (
      summary | {'run': {'seed': 3}})
  assert {(step, tag, value.simple_value)
          for step, tag, value in jobs.events(tmp_path)} == {
              (40, f'dice/{name}', 1.0)
              for name in ('class_1', 'class_2', 'mean')}


def test_details_are_written_as_curves_where_they_exist(tmp_path):
  summary, _ = evaluation.evaluate_in_detail(_Oracle(), _cases(2), _CONFIG)
  summary['measures'][1]['hd95_mm'] = None
  evaluation.write_scores(str(tmp_path), summary, 40)
  tags = {tag for _, tag, _ in jobs.events(tmp_path)}
  assert {'hd95_mm/class_1', 'assd_mm/class_2'} <= tags
  assert not tags & {'hd95_mm/class_2', 'lesion_recall/class_1'}


def test_splits_do_not_overwrite_each_other():
  assert evaluation.folder('m') == 'm/eval'
  assert evaluation.folder('m', 'train') == 'm/eval_train'
  assert evaluation.folder('m', members=5) == 'm/eval_ensemble_of_5'
