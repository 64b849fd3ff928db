import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import frames
from cnn_loopfilter import pictures


@pytest.mark.parametrize('rgb, yuv', [
    ((0, 0, 0), (16, 128, 128)), ((255, 255, 255), (235, 128, 128)),
    ((255, 0, 0), (81, 90, 240)), ((0, 0, 255), (41, 240, 110))])
def test_pictures_become_bt601_in_studio_range(rgb, yuv):
  frame = pictures.from_rgb(np.full((16, 16, 3), rgb, np.uint8))
  for plane, value in zip(frame.planes, yuv):
    assert np.abs(plane.astype(int) - value).max() <= 1
  assert np.abs(pictures.to_rgb(frame).astype(int) - rgb).max() <= 4


def test_an_odd_row_and_column_of_a_picture_are_left_out():
  assert pictures.from_rgb(np.zeros((7, 9, 3), np.uint8)).format == (
      frames.Format(8, 6))


def test_less_than_a_chroma_sample_is_refused():
  with pytest.raises(errors.InputError, match='got 1x6, expected 2x2 or more'):
    pictures.from_rgb(np.zeros((6, 1, 3), np.uint8))


@pytest.mark.parametrize('chroma', list(frames.SUBSAMPLING))
def test_odd_frames_can_be_looked_at(chroma):
  layout = frames.Format(9, 7, 8, chroma)
  frame = frames.Frame(tuple(
      np.full(shape, value, np.uint8) for shape, value in
      zip(layout.plane_shapes, (81, 90, 240))), layout)
  rgb = pictures.to_rgb(frame)
  assert rgb.shape == (7, 9, 3)
  assert (rgb == rgb[0, 0]).all()
