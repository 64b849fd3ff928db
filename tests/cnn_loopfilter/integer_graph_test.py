import dataclasses

import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import integer_graph
from tests.cnn_loopfilter import integer_filters


def _one_layer(weight=1, bias=0, *, weight_fl=7, bias_fl=8, output_fl=10,
               output_bits=16, depth=8):
  """A filter of one 1x1 layer whose inputs have the weights (weight, 1)."""
  weights = np.array([weight, 1], np.int32).reshape(1, 1, 2, 1)
  return integer_graph.IntegerFilter(depth, (integer_graph.Layer(
      weights, np.array([bias], np.int32), weight_fl, bias_fl, output_fl,
      24, 24, output_bits, False),))


def test_plan_of_a_coarse_bias_and_a_coarse_output():
  step, = _one_layer(-3, 5, weight_fl=7, bias_fl=12, output_fl=11).plan
  assert (step.accumulator_shift, step.bias_shift, step.output_shift) == (
      0, 3, 4)
  # 3 * 255 for the sample, 63 * 4 for the QP, 5 << 3, and 2^3 to round.
  assert step.sum_bound.tolist() == [3 * 255 + 252 + 40]
  assert step.bound.tolist() == [3 * 255 + 252 + 40 + 8]


def test_left_shifts_enter_the_bound():
  step, = _one_layer(3, 5, weight_fl=0, bias_fl=10, output_fl=12).plan
  assert (step.accumulator_shift, step.bias_shift, step.output_shift) == (
      2, 0, -2)
  assert step.bound.tolist() == [((3 * 255 + 252) * 4 + 5) * 4]


def test_bound_is_reached():
  # All weights positive: the largest inputs give the bound without rounding.
  filter_ = integer_filters.random_filter(widths=(1,), kernel=1)
  layer = filter_.layers[0]
  step = filter_.plan[0]
  reach = (np.abs(layer.weights[0, 0, :, 0]) * [255, 252]).sum()
  assert step.sum_bound[0] == (reach << step.accumulator_shift) + (
      abs(int(layer.biases[0])) << step.bias_shift)


@pytest.mark.parametrize('changes', [
    {'weight': 2 ** 23 - 1, 'bias_fl': 16},
    {'weight': 100, 'weight_fl': -18, 'bias_fl': 0},
    {'bias': 2 ** 22, 'weight_fl': 10},
], ids=['finer_bias', 'finer_output', 'coarse_bias'])
def test_overflow_names_layer_channel_and_bound(changes):
  with pytest.raises(errors.InputError,
                     match=r'layer 0, channel 0: its sum can reach \d{10}'):
    _one_layer(**changes)


def test_random_filters_stay_below_their_bounds():
  filter_ = integer_filters.random_filter(output_bits=16)
  for step in filter_.plan:
    assert step.bound.max() < 2 ** 31


@pytest.mark.parametrize(('changes', 'message'), [
    ({'depth': 7}, 'depth: got 7'),
    ({'output_fl': 9}, '1 bits below'),
    ({'weight_fl': 50, 'bias_fl': 58}, 'shifts of'),
    ({'weight_fl': 100}, 'fractional lengths'),
    ({'weight': 2 ** 23}, 'weight of'),
    ({'output_bits': 1}, 'outputs of 1 bits'),
])
def test_parts_that_do_not_fit_are_refused(changes, message):
  with pytest.raises(errors.InputError, match=message):
    _one_layer(**changes)


def test_layers_have_to_join():
  filter_ = integer_filters.random_filter()
  with pytest.raises(errors.InputError, match='layer 1: weights'):
    dataclasses.replace(filter_, layers=(filter_.layers[0],
                                         filter_.layers[0]))
  with pytest.raises(errors.InputError, match='12 outputs, expected 1'):
    dataclasses.replace(filter_, layers=filter_.layers[:1])


@pytest.mark.parametrize(('rec', 'qp', 'message'), [
    (np.full([1, 2, 2, 1], 256), [1], '0 to 255'),
    (np.zeros([1, 2, 2, 1], np.int32), [64], 'qp: got 64 to 64'),
    (np.zeros([1, 2, 2, 1], np.int32), [-1], 'qp: got -1'),
    (np.zeros([1, 2, 2, 1]), [1], 'float64'),
    (np.zeros([1, 0, 2, 1], np.int32), [1], 'none of them 0'),
    (np.zeros([2, 2], np.int32), [1], 'batch, height'),
    (np.zeros([2, 2, 2, 1], np.int32), [1], 'expected integers'),
])
def test_bad_input_is_refused(rec, qp, message):
  with pytest.raises(errors.InputError, match=message):
    integer_graph.check_input(_one_layer(), rec, np.array(qp))


def _layer(kernel, inputs, outputs, weight=0, relu=True):
  return integer_graph.Layer(
      np.full([kernel, kernel, inputs, outputs], weight, np.int32),
      np.zeros(outputs, np.int32), 0, 8, 8, 32, 8, 8, relu)


@pytest.mark.parametrize(('layers', 'message'), [
    ((_layer(1, 2, 2),) * 65, 'layers: got 65, expected at most 64'),
    ((_layer(33, 2, 1),), 'odd k of at most 31'),
    ((_layer(1, 2, 1025),), 'of at most 1024'),
], ids=['layers', 'kernel', 'channels'])
def test_filters_beyond_the_formats_limits_are_refused(layers, message):
  with pytest.raises(errors.InputError, match=message):
    integer_graph.IntegerFilter(8, layers)


@pytest.mark.parametrize('weight', [-2 ** 31, 2 ** 31 - 1])
def test_the_largest_weights_do_not_wrap_the_bound(weight):
  layers = (_layer(31, 2, 1024), _layer(31, 1024, 1, weight, relu=False))
  with pytest.raises(errors.InputError, match='layer 1, channel 0: its sum'):
    integer_graph.IntegerFilter(8, layers)


def test_a_known_answer_that_is_too_large_is_refused():
  filter_ = integer_filters.random_filter()
  plane = np.zeros([2, 200, 200, 1], np.int32)
  vector = integer_graph.TestVector(plane, np.zeros(2, np.int32), plane, plane)
  with pytest.raises(errors.InputError, match='at most 65536 samples'):
    dataclasses.replace(filter_, vector=vector)


@pytest.mark.parametrize('bits', [-2 ** 31, 1, 33])
@pytest.mark.parametrize('name', ['weight', 'bias', 'output'])
def test_bit_widths_are_checked_where_all_integers_are_zero(name, bits):
  layer = dataclasses.replace(_layer(1, 2, 1, relu=False),
                              **{f'{name}_bits': bits})
  with pytest.raises(errors.InputError, match=f'{bits} bits'):
    integer_graph.IntegerFilter(8, (layer,))
