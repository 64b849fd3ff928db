import dataclasses
import struct

import numpy as np
import pytest

from cnn_loopfilter import artefact
from cnn_loopfilter import errors
from cnn_loopfilter import integer_graph
from cnn_loopfilter import pretrained
from cnn_loopfilter import runtime
from cnn_loopfilter import sadl
from cnn_loopfilter import sadl_file
from tests.cnn_loopfilter import integer_filters


def _plane(filter_, height=21, width=26):
  """A slope with noise on it, as pictures are."""
  rng = np.random.default_rng(0)
  slope = np.add.outer(3 * np.arange(height), 2 * np.arange(width)) + 40
  plane = (slope << (filter_.depth - 8)) + rng.integers(0, 9, slope.shape)
  return plane.astype(np.uint8 if filter_.depth == 8 else np.uint16)


def _one_layer(weight, bias, weight_fl, bias_fl):
  """A 1x1 layer on the sample; the residual has two bits below its grid."""
  layer = integer_graph.Layer(
      np.array([weight, 0], np.int32).reshape(1, 1, 2, 1),
      np.array([bias], np.int32), weight_fl, bias_fl, 10, 16, 16, 16, False)
  return integer_graph.IntegerFilter(8, (layer,))


def test_shift_rounds_down_and_the_bias_makes_up_for_half_a_step():
  # sample * 3 / 2^4 * 2^2 = sample * 3 / 4 in the residual's grid.
  model = sadl.convert(_one_layer(3, 0, 4, 8), use_room=False)
  assert model.conv_q(0) == -2
  np.testing.assert_array_equal(model.layers[0].biases, [1])
  plane = np.array([[0, 1, 2, 3, 4, 255]], np.uint8)
  np.testing.assert_array_equal(sadl.Simulation(model).residual(plane, 0),
                                [[1, 1, 2, 3, 4, 192]])


def test_everything_is_clamped_at_32767():
  model = sadl.convert(_one_layer(300, 0, 0, 8), use_room=False)
  plane = np.array([[0, 255]], np.uint8)
  np.testing.assert_array_equal(sadl.Simulation(model).residual(plane, 0),
                                [[1, 32767]])


@pytest.mark.parametrize('name', pretrained.names())
def test_room_of_int16_brings_shipped_filters_close(name):
  filter_ = artefact.load(pretrained.folder(name))
  plane, means = _plane(filter_), []
  expected = runtime.Reference(filter_).filter_plane(plane, 32)
  for use_room in (False, True):
    simulation = sadl.Simulation(sadl.convert(filter_, use_room=use_room))
    found = simulation.filter_plane(plane, 32)
    assert found.dtype == plane.dtype
    means.append(np.abs(found.astype(int) - expected).mean())
  assert means[1] < 0.5
  assert means[1] <= means[0]


def test_room_gives_each_layer_sixteen_bits():
  filter_ = integer_filters.random_filter(output_bits=9)
  for layer, made in zip(filter_.layers, sadl.convert(filter_).layers):
    assert made.output_q == layer.output_fl + 16 - layer.output_bits
    assert made.weights.dtype == made.biases.dtype == np.int16


@pytest.mark.parametrize(('case', 'message'), [
    ('deepest', 'depth: got 16, expected at most 15'),
    ('int32', 'a quantizer of'),
])
def test_what_sadl_cannot_hold_is_refused(case, message):
  filter_ = integer_filters.random_filter(**integer_filters.MORE_CASES[case])
  with pytest.raises(errors.InputError, match=message):
    sadl.convert(filter_)


def test_weights_beyond_int16_are_refused():
  filter_ = _one_layer(1, 0, 4, 8)
  layer = dataclasses.replace(
      filter_.layers[0], weight_bits=18,
      weights=np.array([2 ** 16, 0], np.int32).reshape(1, 1, 2, 1),
      weight_fl=12)
  with pytest.raises(errors.InputError, match='layer 0: weights beyond'):
    sadl.convert(integer_graph.IntegerFilter(8, (layer,)))


class _Reader:
  """Reads a model as the documented layout says."""

  def __init__(self, data):
    self.data, self.place = data, 0

  def bytes(self, count):
    self.place += count
    return self.data[self.place - count:self.place]

  def ints(self, count=None):
    """So many numbers; None: as many as the next one tells."""
    count = self.ints(1)[0] if count is None else count
    return struct.unpack(f'<{count}i', self.bytes(4 * count))

  def layer(self):
    """Returns operation, inputs, numbers and data of a layer."""
    number, operation = self.ints(2)
    assert self.bytes(self.ints(1)[0]).isascii()
    inputs = self.ints()
    if operation == 1:  # Const
      axes = self.ints()
      kind, quantizer = self.ints(2)
      assert kind == 2
      data = np.frombuffer(self.bytes(2 * int(np.prod(axes))), '<i2')
      return number, operation, inputs, (quantizer,), data.reshape(axes)
    if operation == 2:  # Placeholder
      return number, operation, inputs, self.ints() + self.ints(1), None
    if operation == 9:  # Conv2D: strides, pads, groups and quantizer
      return (number, operation, inputs,
              self.ints() + self.ints() + self.ints(2), None)
    return number, operation, inputs, (), None


def test_the_file_holds_the_model_in_order(tmp_path):
  filter_ = integer_filters.random_filter(output_bits=9)
  model = sadl.convert(filter_)
  sadl_file.save(model, tmp_path / 'a.sadl', height=5, width=6)
  reader = _Reader((tmp_path / 'a.sadl').read_bytes())
  assert reader.bytes(8) == b'SADL0004'
  kind, count, *ends = reader.ints(6)
  layers = [reader.layer() for _ in range(count)]
  assert (kind, reader.place) == (2, len(reader.data))
  assert ends == [1, 0, 1, count - 1]
  assert [layer[0] for layer in layers] == list(range(count))
  assert [layer[1] for layer in layers] == [2] + [1, 9, 1, 4, 8] * 2 + [
      1, 9, 1, 4]
  assert layers[0][3] == (1, 5, 6, 2, 8)
  assert layers[2][2:4] == ((0, 1), (1, 1, 1, 1, 1, 1, 1, 1, 1,
                                     model.conv_q(0)))
  assert layers[1][3] == (model.layers[0].weight_q,)
  np.testing.assert_array_equal(layers[1][4], model.layers[0].weights)
  np.testing.assert_array_equal(layers[3][4], model.layers[0].biases)
