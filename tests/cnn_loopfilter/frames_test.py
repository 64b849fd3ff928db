import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import frames


@pytest.mark.parametrize('chroma, shapes', [
    ('400', ((8, 12),)), ('420', ((8, 12), (4, 6), (4, 6))),
    ('422', ((8, 12), (8, 6), (8, 6))), ('444', ((8, 12),) * 3)])
@pytest.mark.parametrize('depth, sample_bytes', [(8, 1), (10, 2), (12, 2)])
def test_a_format_knows_its_planes_and_bytes(
    chroma, shapes, depth, sample_bytes):
  layout = frames.Format(12, 8, depth, chroma)
  assert layout.plane_shapes == shapes
  assert layout.frame_bytes == sample_bytes * sum(
      height * width for height, width in shapes)
  data = np.random.default_rng(0).bytes(layout.frame_bytes)
  frame = frames.frame_from_bytes(data, layout)
  assert tuple(plane.shape for plane in frame.planes) == shapes
  assert frame.to_bytes() == data


@pytest.mark.parametrize('chroma, shape', [
    ('420', (5, 7)), ('422', (9, 7)), ('444', (9, 13))])
def test_chroma_of_an_odd_size_is_rounded_up(chroma, shape):
  assert frames.Format(13, 9, 8, chroma).plane_shapes == (
      (9, 13), shape, shape)


@pytest.mark.parametrize('arguments, message', [
    ((12, 8, 9), 'depth: got 9, expected one of 8, 10, 12'),
    ((12, 8, 8, '411'), "chroma: got '411', expected one of 400, 420"),
    ((0, 8, 8, '444'), 'size: got 0x8, expected 1x1 or more'),
])
def test_unknown_formats_are_refused(arguments, message):
  with pytest.raises(errors.InputError, match=message):
    frames.Format(*arguments)


@pytest.mark.parametrize('shape, dtype', [
    ((8, 12), np.uint16), ((12, 8), np.uint8)])
def test_planes_must_be_those_of_the_format(shape, dtype):
  with pytest.raises(errors.InputError, match=r'frame: got planes .* of uint'):
    frames.Frame((np.zeros(shape, dtype),), frames.Format(12, 8, 8, '400'))


def test_a_sequence_starts_again_and_ends_at_its_limit():
  layout = frames.Format(2, 2, 8, '400')
  made = [frames.Frame((np.full((2, 2), i, np.uint8),), layout)
          for i in range(3)]
  sequence = frames.Sequence('s', layout, 3, lambda: iter(made))
  for limit, count in ((None, 3), (2, 2), (9, 3)):
    assert list(sequence.frames(limit)) == made[:count]
