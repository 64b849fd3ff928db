"""Pooling against NumPy, where the first of tied maxima takes the gradient."""

import itertools

import numpy as np
import pytest

from mtf_unet import pooling
from tests.mtf_unet import lowered

_SHAPE = (2, 8, 12, 4, 3)
# Rounded, so that most windows of 8 voxels hold their maximum more than once.
_TIED = np.random.RandomState(1).randint(0, 3, _SHAPE).astype(np.float32)
_DISTINCT = np.random.RandomState(2).permutation(
    np.prod(_SHAPE)).reshape(_SHAPE).astype(np.float32)
_ALL_MESHES = {**lowered.MESHES, **lowered.MORE_MESHES}


def _windows(x, edges):
  """Yields (output index, slices of the window) for every window."""
  outputs = [n // e for n, e in zip(x.shape[1:-1], edges)]
  for index in itertools.product(*map(range, outputs)):
    yield index, tuple(slice(i * e, (i + 1) * e)
                       for i, e in zip(index, edges))


def _max_pool(x, dy, edges):
  """The pooled array and the gradient of its input, one window at a time."""
  y, dx = np.zeros_like(dy), np.zeros_like(x)
  for b, c in itertools.product(range(x.shape[0]), range(x.shape[-1])):
    for index, window in _windows(x, edges):
      part = x[(b, *window, c)]
      first = np.unravel_index(part.argmax(), part.shape)
      y[(b, *index, c)] = part[first]
      dx[(b, *window, c)][first] = dy[(b, *index, c)]
  return y, dx


def _average_pool(x, dy, edges):
  y, dx = np.zeros_like(dy), np.zeros_like(x)
  for index, window in _windows(x, edges):
    here = (slice(None), *index)
    block = (slice(None), *window)
    y[here] = x[block].mean(tuple(range(1, x.ndim - 1)))
    spread = dy[here] / np.prod(edges)
    dx[block] = spread.reshape(len(x), *[1] * len(edges), -1)
  return y, dx


def _check(pool, reference, x, mesh, edges):
  came = lowered.run_layer(lambda t: pool(t, edges), x, mesh)
  y, dx = reference(x, came.dy, edges)
  lowered.assert_close(came.y, y, 'output')
  lowered.assert_close(came.dx, dx, 'gradient of the input')


@pytest.mark.parametrize('mesh', _ALL_MESHES.values(), ids=_ALL_MESHES.keys())
@pytest.mark.parametrize('pool, reference', [
    (pooling.max_pool, _max_pool), (pooling.average_pool, _average_pool)],
    ids=['max', 'average'])
def test_pooling_equals_numpy(pool, reference, mesh):
  _check(pool, reference, _DISTINCT, mesh, (2, 2, 2))


@pytest.mark.parametrize('mesh', lowered.MESHES.values(),
                         ids=lowered.MESHES.keys())
def test_fault_4_tied_maxima_share_one_gradient(mesh):
  _check(pooling.max_pool, _max_pool, _TIED, mesh, (2, 2, 2))


def test_fault_4_sum_of_the_gradient_is_conserved():
  constant = np.ones(_SHAPE, np.float32)
  came = lowered.run_layer(lambda t: pooling.max_pool(t, (2, 2, 2)), constant,
                           lowered.MESHES['2x2x1'])
  np.testing.assert_allclose(came.dx.sum(), came.dy.sum(), rtol=1e-4)
  assert np.count_nonzero(came.dx) == came.dy.size


@pytest.mark.parametrize('pool, reference', [
    (pooling.max_pool, _max_pool), (pooling.average_pool, _average_pool)],
    ids=['max', 'average'])
@pytest.mark.parametrize('mesh', lowered.MESHES_2D.values(),
                         ids=lowered.MESHES_2D.keys())
def test_pooling_in_two_dimensions_equals_numpy(pool, reference, mesh):
  _check(pool, reference, _TIED[:, :, :, 0], mesh, (2, 2))


def test_windows_may_differ_by_axis():
  _check(pooling.max_pool, _max_pool, _TIED, lowered.MESHES['2x2x1'],
         (4, 3, 1))


@pytest.mark.parametrize('edges, words', [
    ((2, 2), 'one positive whole number for each of the 3'),
    ((2, 2, 0), 'one positive whole number'),
    ((3, 2, 2), '3 does not divide the 8 voxels along x'),
], ids=['too few', 'zero', 'does not divide'])
def test_windows_that_do_not_fit_are_refused(edges, words):
  with (lowered.bench(lowered.MESHES['1x1x1']) as b,
        pytest.raises(ValueError, match=words)):
    pooling.max_pool(b.activation(_TIED), edges)
