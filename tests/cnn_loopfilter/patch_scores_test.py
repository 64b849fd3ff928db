import math

import numpy as np
import pytest

from cnn_loopfilter import patch_scores


def _batch():
  original = np.full([3, 2, 2, 1], 100.0)
  error = np.array([2.0, 4.0, 4.0]).reshape(3, 1, 1, 1)
  return {'original': original / 256,
          'reconstruction': (original + error) / 256,
          'qp': np.array([22.0, 22.0, 37.0]), 'component': np.array([0, 0, 2])}


def test_gain_is_over_all_samples_of_a_class():
  # A filter that halves every error.
  found = patch_scores.gains(
      [_batch(), _batch()], lambda plane, qp: 100 + (plane - 100) // 2, 8)
  assert list(found) == [('Y', 22), ('V', 37)]
  for gain in found.values():
    assert gain.db == pytest.approx(20 * math.log10(2))
  # Mean of 2^2 and 4^2.
  assert found['Y', 22].before == pytest.approx(
      10 * math.log10(255 ** 2 / 10))
  assert patch_scores.mean_gain(found) == pytest.approx(6.0206, abs=1e-4)


def test_class_errors_are_means_and_1_elsewhere():
  found = patch_scores.class_errors([_batch()])
  assert found.shape == (3, 64)
  assert found[0, 22] == pytest.approx(10 / 256 ** 2)
  assert found[2, 37] == pytest.approx(16 / 256 ** 2)
  assert found[1, 22] == 1


def test_no_error_is_infinite_and_left_out_of_the_mean():
  assert patch_scores.psnr(0.0, 4, 8) == math.inf
  gain = patch_scores.Gain(math.inf, math.inf)
  assert patch_scores.mean_gain({('Y', 22): gain}) == 0


def test_table_names_every_class():
  table = patch_scores.format_table({('U', 27): patch_scores.Gain(40.0, 40.5)})
  assert table.splitlines()[1].split() == ['U', '27', '40.000', '40.500',
                                           '+0.500']
