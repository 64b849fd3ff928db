import numpy as np
import pytest

from cnn_loopfilter import dfp


@pytest.mark.parametrize(('fl', 'value', 'expected'), [
    (2, 0.125, 0.0), (2, 0.375, 0.5), (2, 0.625, 0.5), (2, 0.875, 1.0),
    (2, -0.375, -0.5), (2, 40.0, 31.75), (2, -33.0, -32.0), (-1, 3.0, 4.0),
    (-1, 5.0, 4.0), (-1, 300.0, 254.0)])
def test_eight_bits_follow_the_authors_rule(fl, value, expected):
  assert dfp.dequantize(dfp.quantize(value, 8, fl), fl) == expected


def test_infinite_values_are_clamped():
  np.testing.assert_array_equal(
      dfp.quantize(np.array([np.inf, -np.inf]), 8, 0), [127, -128])


@pytest.mark.parametrize('shift', [0, 1, 2, 3, 7])
def test_shift_rounds_half_to_even(shift):
  values = np.arange(-600, 601)
  np.testing.assert_array_equal(dfp.rounding_shift(values, shift),
                                np.rint(values / 2 ** shift))


def test_negative_shift_multiplies():
  np.testing.assert_array_equal(dfp.rounding_shift(np.array([-3, 5]), -2),
                                [-12, 20])


@pytest.mark.parametrize(('largest', 'parameter', 'expected'), [
    (4.0, False, 2), (4.1, False, 3), (4.0, True, 3), (0.3, True, 0)])
def test_integer_length_is_ristrettos(largest, parameter, expected):
  assert dfp.integer_length(largest, parameter=parameter) == expected


def test_tensor_of_zeros_has_a_length():
  assert dfp.integer_length(0.0, parameter=True) < -30
