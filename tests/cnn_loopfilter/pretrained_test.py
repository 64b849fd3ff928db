import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import float_filter
from cnn_loopfilter import pretrained
from cnn_loopfilter import runtime


def _plane(seed=0):
  rng = np.random.Generator(np.random.PCG64(seed))
  slope = np.add.outer(np.arange(37), 2 * np.arange(53))
  return np.clip(slope + rng.integers(-9, 10, slope.shape), 0, 255).astype(
      np.uint8)


def test_the_shipped_filter_is_small():
  folder = pretrained.folder()
  assert sum(path.stat().st_size for path in folder.iterdir()) < 500_000


@pytest.mark.parametrize('qp', [0, 22, 37, 51])
def test_every_runtime_gives_the_shipped_filters_bits(qp):
  plane = _plane(qp)
  expected, *others = (
      pretrained.load(backend=backend).filter_plane(plane, qp)
      for backend in runtime.BACKENDS)
  assert expected.dtype == np.uint8
  assert (expected != plane).any()
  for other in others:
    np.testing.assert_array_equal(other, expected)


def test_noise_of_coding_is_taken_away():
  clean = np.add.outer(np.arange(64), np.arange(64)).astype(np.int64) + 50
  rng = np.random.Generator(np.random.PCG64(1))
  # Blocks of 8x8 that are each off by their own constant.
  noisy = clean + np.kron(rng.integers(-3, 4, (8, 8)), np.ones((8, 8), int))
  filtered = pretrained.load('filter_64').filter_plane(
      noisy.astype(np.uint8), 37)
  before, after = (np.mean((x.astype(int) - clean) ** 2)
                   for x in (noisy, filtered))
  assert after < 0.8 * before


def test_the_float_weights_beside_it_are_of_the_same_network():
  source = float_filter.load(pretrained.folder().with_suffix('.npz'))
  assert source.macs_per_sample == 222_912
  assert source.widths == (64,) * 7 + (1,)


def test_an_unknown_name_is_refused():
  with pytest.raises(errors.InputError, match='filter_65'):
    pretrained.load('filter_65')
