import dataclasses

import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import exact_float
from cnn_loopfilter import integer_graph
from tests.cnn_loopfilter import integer_filters


def _layers(case):
  filter_ = integer_filters.random_filter(**integer_filters.MORE_CASES[case])
  return list(zip(filter_.layers, filter_.plan))


@pytest.mark.parametrize('case', integer_filters.MORE_CASES)
def test_parts_of_the_largest_inputs_stay_exact(case):
  for layer, step in _layers(case):
    bits, count = exact_float.parts(layer, step)
    if count == 1:
      assert step.sum_bound.max() <= exact_float.EXACT
      continue
    largest = int(step.input_max.max())
    top = max(largest >> bits * (count - 1), -(-largest >> bits * (count - 1)))
    for part in (top, 2 ** bits - 1):
      assert part * exact_float.largest_row(layer) <= exact_float.EXACT


def test_as_it_is_and_halves_are_told_apart():
  ways = {case: {exact_float.split_bits(*pair) for pair in _layers(case)}
          for case in ('plain', 'split', 'int32')}
  assert ways['plain'] == {0}
  assert max(way or 0 for way in ways['split']) > 0
  assert None in ways['int32']


def test_outputs_of_more_than_24_bits_are_not_for_float32():
  filter_ = integer_filters.clamping_filter()
  assert [exact_float.split_bits(*pair) for pair in zip(
      filter_.layers, filter_.plan)] == [None, None]


def test_scaled_parameters_hold_the_same_digits():
  for layer, step in _layers('plain'):
    kernel, biases = exact_float.scaled(layer, step)
    assert kernel.dtype == biases.dtype == np.float32
    np.testing.assert_array_equal(
        np.ldexp(kernel, step.output_shift - step.accumulator_shift),
        layer.weights)


def test_weights_that_leave_24_bits_alone_are_refused():
  filter_ = integer_filters.random_filter(widths=(2, 1), kernel=1)
  layers = list(filter_.layers)
  # Its inputs are -2 to 1, so the sum still fits int32.
  layers[0] = dataclasses.replace(layers[0], output_bits=2, relu=False)
  layers[1] = dataclasses.replace(
      layers[1], weights=np.full([1, 1, 2, 1], 2 ** 24, np.int32),
      weight_bits=27)
  filter_ = integer_graph.IntegerFilter(8, tuple(layers))
  pair = filter_.layers[1], filter_.plan[1]
  with pytest.raises(errors.InputError, match='sum up to 33554432, expected'):
    exact_float.parts(*pair)
  assert exact_float.split_bits(*pair) is None
