import numpy as np
import pytest

from mtf_unet import slab_stages
from mtf_unet import slab_store

_VOLUME = np.random.default_rng(0).normal(size=(12, 2, 2, 3))
_CUTS = {'whole': [12], 'single slices': [1] * 12, 'uneven': [1, 4, 2, 5],
         'thin last': [5, 6, 1]}


def _run(stages, cut, volume=_VOLUME):
  parts = np.split(volume, np.cumsum(cut)[:-1])
  return list(slab_stages.run(stages, parts))


def _sums(margin):
  """Sums each slice's neighbourhood."""
  def function(window):
    count = len(window) - 2 * margin
    return sum(window[k:k + count] for k in range(2 * margin + 1))
  return function


def _expected_sums(volume, margin):
  wide = np.pad(volume, [(margin, margin)] + [(0, 0)] * 3)
  return _sums(margin)(wide)


def _pair_maximum(slab):
  return np.maximum(slab[::2], slab[1::2])


@pytest.fixture(params=list(_CUTS), name='cut')
def _cut(request):
  return _CUTS[request.param]


@pytest.mark.parametrize('margin', [1, 2, 13])
def test_a_windowed_function_sees_neighbours_and_zeros_at_the_ends(cut, margin):
  came = _run([slab_stages.Windowed(_sums(margin), margin)], cut)
  np.testing.assert_allclose(np.concatenate(came),
                             _expected_sums(_VOLUME, margin), rtol=1e-12)


def test_every_layer_has_zeros_of_its_own_at_the_ends(cut):
  # As by slabs of a wider volume of zeros it would not be: the shift is not 0.
  stages = []
  for _ in range(3):
    stages += [slab_stages.Windowed(_sums(1), 1),
               slab_stages.Pointwise(lambda slab: slab + 1.0)]
  expected = _VOLUME
  for _ in range(3):
    expected = _expected_sums(expected, 1) + 1.0
  np.testing.assert_allclose(np.concatenate(_run(stages, cut)), expected,
                             rtol=1e-12)


def test_pairs_begin_at_the_first_slice(cut):
  came = _run([slab_stages.Paired(_pair_maximum)], cut)
  np.testing.assert_array_equal(np.concatenate(came), _pair_maximum(_VOLUME))


def test_joined_slices_are_those_of_the_same_place(cut):
  queue = slab_store.Queue(slab_store.Memory())
  came = _run([slab_stages.Remember(queue),
               slab_stages.Windowed(_sums(2), 2), slab_stages.Join(queue)],
              cut)
  np.testing.assert_allclose(np.concatenate(came), np.concatenate(
      [_expected_sums(_VOLUME, 2), _VOLUME], axis=-1), rtol=1e-12)
  assert not list(queue.drain())


def test_a_norm_waits_for_the_statistics_of_all_slabs(cut):
  def moments(slab):
    flat = slab.reshape(-1, slab.shape[-1])
    return flat.mean(0), flat.var(0, ddof=1)
  queue = slab_store.Queue(slab_store.Memory())
  stage = slab_stages.WholeStatistics(
      moments, lambda slab, mean, variance: (slab - mean) / np.sqrt(variance),
      queue)
  came = np.concatenate(_run([stage], cut, 1e3 + _VOLUME))
  expected = (_VOLUME - _VOLUME.mean((0, 1, 2))) / _VOLUME.std((0, 1, 2))
  np.testing.assert_allclose(came, expected, atol=1e-9)


def test_output_comes_as_soon_as_it_is_certain():
  stage = slab_stages.Windowed(_sums(1), 1)
  assert stage.push(_VOLUME[:1]) is None
  assert [len(stage.push(_VOLUME[k:k + 3])) for k in (1, 4)] == [3, 3]
  assert list(map(len, stage.finish())) == [1]
