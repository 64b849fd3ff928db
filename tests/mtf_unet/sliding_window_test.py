import itertools
import types

import numpy as np
import pytest

from mtf_unet import sliding_window

_SIZE = (4, 6, 2)


class _Windows:
  """Answers with the window's own first channel, as two classes."""

  def __init__(self):
    self.shapes, self.restored = [], []

  def restore(self, checkpoint):
    self.restored.append(checkpoint)

  def probabilities(self, image):
    self.shapes.append(image.shape)
    return np.concatenate([image, 1 - image], axis=-1)


def _image(shape):
  return np.random.default_rng(0).random(shape + (1,), np.float32)


@pytest.mark.parametrize('length, edge, overlap, starts', [
    (8, 8, 0.5, [0]), (12, 8, 0.5, [0, 4]), (13, 8, 0.5, [0, 2, 5]),
    (16, 8, 0.0, [0, 8]), (17, 8, 0.0, [0, 4, 9]), (3, 2, 0.99, [0, 1])])
def test_windows_reach_from_end_to_end_evenly(length, edge, overlap, starts):
  came = list(sliding_window.windows((length,), (edge,), overlap))
  assert came == [(slice(at, at + edge),) for at in starts]


@pytest.mark.parametrize('shape', [(4, 6, 2), (9, 6, 7), (11, 17, 5)], ids=str)
def test_what_windows_agree_on_is_kept(shape):
  image = _image(shape)
  inner = _Windows()
  came = sliding_window.SlidingWindow(inner, _SIZE, 0.5).probabilities(image)
  assert came.shape == shape + (2,)
  assert came.dtype == np.float32
  np.testing.assert_allclose(came[..., :1], image, rtol=1e-5)
  assert set(inner.shapes) == {_SIZE + (1,)}


def test_a_volume_smaller_than_a_window_is_padded_with_zeros():
  image = _image((3, 9, 1))
  inner = _Windows()
  came = sliding_window.SlidingWindow(inner, _SIZE, 0.5).probabilities(image)
  np.testing.assert_allclose(came[..., :1], image, rtol=1e-5)
  assert set(inner.shapes) == {_SIZE + (1,)}


def test_windows_that_disagree_are_weighted_by_their_gaussians():
  answers = itertools.count()
  inner = types.SimpleNamespace(probabilities=lambda image: np.full(
      image.shape, next(answers), np.float32))
  came = sliding_window.SlidingWindow(inner, (8, 1, 1), 0.5).probabilities(
      np.zeros((12, 1, 1, 1), np.float32)).ravel()
  first, second = [
      np.exp(-((np.arange(12) - centre) / 1.0) ** 2 / 2)
      for centre in (3.5, 7.5)]
  expected = second / (first + second)
  expected[:4], expected[8:] = 0, 1
  np.testing.assert_allclose(came, expected, rtol=1e-5)


def test_gaussian_is_symmetric_and_never_0():
  weight = sliding_window.gaussian((64, 5, 1))
  assert weight.max() == 1
  assert weight.min() > 0
  np.testing.assert_allclose(weight, weight[::-1, ::-1], rtol=1e-5)
  # The deviation is an eighth of 64; the centre lies at 31.5.
  assert weight[31 + 8, 2, 0] / weight[31, 2, 0] == pytest.approx(
      np.exp(-(7.5**2 - 0.5**2) / 2 / 8**2), rel=1e-5)


def test_weights_are_restored_in_the_network_itself():
  inner = _Windows()
  sliding_window.SlidingWindow(inner, _SIZE, 0.5).restore('model.ckpt-1')
  assert inner.restored == ['model.ckpt-1']
