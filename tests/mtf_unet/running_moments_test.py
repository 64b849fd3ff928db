import numpy as np
import pytest

from mtf_unet import running_moments


def _joined(numbers, bounds):
  result = running_moments.RunningMoments(numbers.shape[1])
  for begin, end in zip(bounds, bounds[1:]):
    part = numbers[begin:end]
    variance = part.var(0, ddof=1) if len(part) > 1 else np.zeros(3)
    result.add(len(part), part.mean(0), variance)
  return result


@pytest.mark.parametrize('bounds', [
    (0, 60), (0, 1, 60), (0, 59, 60), tuple(range(61)), (0, 7, 20, 21, 60)],
    ids=['one part', 'first alone', 'last alone', 'one by one', 'uneven'])
def test_parts_give_the_moments_of_the_whole(bounds):
  numbers = np.random.default_rng(0).normal([0, 5, -3], [1, 2, 0.1], (60, 3))
  came = _joined(numbers, bounds)
  np.testing.assert_allclose(came.mean, numbers.mean(0), rtol=1e-12)
  np.testing.assert_allclose(came.variance, numbers.var(0), rtol=1e-12)


def test_a_mean_a_million_times_the_deviation_leaves_the_variance_right():
  numbers = 1e6 + np.random.default_rng(1).normal(0, 1, (4000, 3))
  came = _joined(numbers, range(0, 4001, 100))
  np.testing.assert_allclose(came.variance, numbers.var(0), rtol=1e-9)


def test_a_constant_has_no_variance():
  came = _joined(np.full((10, 3), 0.5), (0, 3, 10))
  np.testing.assert_allclose(came.mean, 0.5)
  np.testing.assert_array_equal(came.variance, 0)


def test_without_any_part_all_is_0():
  came = running_moments.RunningMoments(2)
  assert came.mean.tolist() == came.variance.tolist() == [0, 0]
