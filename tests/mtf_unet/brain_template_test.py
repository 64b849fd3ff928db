import numpy as np
import pytest

from mtf_unet import brain_template
from mtf_unet import metrics
from mtf_unet import raw_folders
from mtf_unet import splits


@pytest.fixture(scope='module')
def cases(tmp_path_factory):
  pytest.importorskip('nilearn')
  folder = tmp_path_factory.mktemp('brain')
  brain_template.write_folder(folder)
  found = raw_folders.find_cases(folder)
  read = {case.name: raw_folders.read_case(case, 3) for case in found}
  return folder, read


def test_the_folder_can_be_prepared(cases):
  folder, read = cases
  parts = splits.from_file(folder / 'split.json', list(read))
  assert parts['train'] == list(brain_template.TRAINING_CASES)
  assert parts['validation'] == [
      brain_template.TEST_CASE, brain_template.DEGRADED_CASE]
  for image, label in read.values():
    assert image.array.shape == brain_template.CASE_SHAPE
    assert all((label.array == c).mean() > 0.05 for c in range(3))


def test_no_training_voxel_is_near_the_test_part(cases):
  _, read = cases

  def range_mm(name):
    image = read[name][0]
    start = image.affine[1, 3]
    return start, start + 2 * image.array.shape[1]
  front_of_training = max(
      range_mm(name)[1] for name in brain_template.TRAINING_CASES)
  assert range_mm(brain_template.TEST_CASE)[0] - front_of_training >= 8


def _threshold_dice(read, name):
  training = [read[case] for case in brain_template.TRAINING_CASES]
  thresholds = brain_template.fit_thresholds(
      [image.array for image, _ in training],
      [label.array for _, label in training])
  image, label = read[name]
  return metrics.dice_per_class(
      brain_template.apply_thresholds(image.array, thresholds), label.array,
      3)[1:]


def test_plain_thresholds_reach_what_they_are_known_for(cases):
  dice = _threshold_dice(cases[1], brain_template.TEST_CASE)
  np.testing.assert_allclose(dice, 0.96, atol=0.01)


def test_noise_and_bias_are_hard_for_thresholds(cases):
  dice = _threshold_dice(cases[1], brain_template.DEGRADED_CASE)
  assert (dice < 0.85).all()


def test_degraded_case_is_the_test_case_but_for_the_image(cases):
  (clean, truth), (degraded, same) = (
      cases[1][name] for name in (
          brain_template.TEST_CASE, brain_template.DEGRADED_CASE))
  np.testing.assert_array_equal(truth.array, same.array)
  inside = truth.array == 2
  ratio = degraded.array[inside] / clean.array[inside]
  assert 0.7 < np.percentile(ratio, 5) < np.percentile(ratio, 95) < 1.3
  assert np.corrcoef(clean.array[inside], degraded.array[inside])[0, 1] < 0.9


def test_degrading_repeats_itself():
  image = np.ones((6, 7, 8), np.float32)
  a, b = (brain_template.degrade(image, 1.0, seed=3) for _ in range(2))
  np.testing.assert_array_equal(a, b)


def test_fitted_thresholds_part_what_can_be_parted():
  labels = np.repeat([0, 1, 2], 50).reshape(3, 50)
  images = labels * 100.0 + np.linspace(0, 50, 50)
  thresholds = brain_template.fit_thresholds([images], [labels])
  np.testing.assert_array_equal(
      brain_template.apply_thresholds(images, thresholds), labels)
