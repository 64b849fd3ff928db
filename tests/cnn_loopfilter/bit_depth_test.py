import numpy as np
import pytest

from cnn_loopfilter import artefact
from cnn_loopfilter import bit_depth
from cnn_loopfilter import errors
from cnn_loopfilter import pretrained
from cnn_loopfilter import runtime
from tests.cnn_loopfilter import integer_filters


@pytest.fixture(scope='module', name='shipped')
def _shipped():
  return artefact.load(pretrained.folder())


def _planes(seed=0):
  random = np.random.default_rng(seed)
  slope = np.add.outer(np.arange(21), 2 * np.arange(37))
  plane = np.clip(slope + random.integers(-9, 10, slope.shape), 0, 255)
  return plane[None, ..., None].astype(np.int32), np.array([32], np.int32)


@pytest.mark.parametrize('depth', [10, 12])
def test_shifted_content_gives_the_same_residual(shipped, depth):
  planes, qp = _planes()
  shift = depth - 8
  deeper = runtime.Reference(bit_depth.at_depth(shipped, depth))
  eight = runtime.Reference(shipped)
  np.testing.assert_array_equal(deeper.residual(planes << shift, qp),
                                eight.residual(planes, qp))
  filtered = deeper.filter_batch(planes << shift, qp) / 2.0 ** shift
  difference = np.abs(filtered - eight.filter_batch(planes, qp))
  # Both are rounded from the same sum, each to its own grid.
  assert 0 < difference.max() <= 0.5 + 0.5 / 2 ** shift


@pytest.mark.parametrize('backend', ['int32', 'fast'])
def test_every_runtime_gives_the_deeper_filters_bits(shipped, backend):
  deeper = bit_depth.at_depth(shipped, 10)
  samples = np.random.default_rng(1).integers(0, 1024, (1, 23, 31, 1))
  np.testing.assert_array_equal(
      runtime.of(deeper, backend).filter_batch(samples, np.array([27])),
      runtime.Reference(deeper).filter_batch(samples, np.array([27])))


def test_the_known_answer_is_its_own(shipped):
  deeper = bit_depth.at_depth(shipped, 10)
  assert deeper.vector.reconstruction.max() > 255
  np.testing.assert_array_equal(
      runtime.Reference(deeper).filter_batch(deeper.vector.reconstruction,
                                             deeper.vector.qp),
      deeper.vector.filtered)


def test_the_same_depth_is_the_same_filter(shipped):
  assert bit_depth.at_depth(shipped, 8) is shipped


def test_fewer_bits_are_refused():
  with pytest.raises(errors.InputError, match='got video of 8 bits, expected '
                                              '10 or more'):
    bit_depth.at_depth(integer_filters.random_filter(depth=10), 8)


def test_too_few_bits_below_the_samples_are_refused():
  filter_ = integer_filters.random_filter(residual_bits=3)
  with pytest.raises(errors.InputError, match='a residual with 1 bits below'):
    bit_depth.at_depth(filter_, 10)
