import fractions

import numpy as np
import pytest

from cnn_loopfilter import artefact
from cnn_loopfilter import dfp
from cnn_loopfilter import errors
from cnn_loopfilter import runtime
from tests.cnn_loopfilter import integer_filters


def _exactly(filter_, plane, qp):
  """The filter in fractions, sample by sample: no shift, no array."""
  height, width = plane.shape
  x = {(i, j): [fractions.Fraction(int(plane[i, j]), 2 ** filter_.depth),
                fractions.Fraction(qp, 64)]
       for i in range(height) for j in range(width)}
  for layer in filter_.layers:
    edge = layer.weights.shape[0]
    unit = fractions.Fraction(2) ** -layer.output_fl
    low, high = dfp.limits(layer.output_bits)
    y = {}
    for i, j in x:
      y[i, j] = []
      for out in range(layer.weights.shape[3]):
        total = int(layer.biases[out]) * fractions.Fraction(
            2) ** -layer.bias_fl
        for di in range(edge):
          for dj in range(edge):
            near = x.get((i + di - edge // 2, j + dj - edge // 2))
            for c, value in enumerate(near or []):
              total += value * int(layer.weights[di, dj, c, out]) * (
                  fractions.Fraction(2) ** -layer.weight_fl)
        total = max(total, 0) if layer.relu else total
        # Python rounds fractions half to even.
        y[i, j].append(min(max(round(total / unit), low), high) * unit)
    x = y
  result = np.empty_like(plane)
  for i, j in x:
    value = round(plane[i, j] + x[i, j][0] * 2 ** filter_.depth)
    result[i, j] = min(max(value, 0), 2 ** filter_.depth - 1)
  return result


@pytest.mark.parametrize('depth', [8, 10])
def test_reference_equals_exact_fractions(depth):
  filter_ = integer_filters.random_filter(widths=(3, 2, 1), depth=depth)
  rec, qp = integer_filters.random_planes(filter_, 1, 4, 5)
  plane = rec[0, ..., 0].astype(np.uint16)
  result = runtime.Reference(filter_).filter_plane(plane, int(qp[0]))
  assert result.dtype == np.uint16
  np.testing.assert_array_equal(result, _exactly(filter_, plane, int(qp[0])))
  assert (result != plane).mean() > 0.5


def test_qp_matters():
  filter_ = integer_filters.random_filter()
  plane = np.full([6, 6], 100, np.uint8)
  reference = runtime.Reference(filter_)
  assert (reference.filter_plane(plane, 22)
          != reference.filter_plane(plane, 37)).any()


def test_load_takes_a_folder_and_a_backend(tmp_path):
  filter_ = integer_filters.random_filter(with_vector=True)
  artefact.save(filter_, tmp_path)
  plane = np.full([5, 7], 90, np.uint8)
  results = []
  for backend in runtime.BACKENDS:
    loaded = runtime.load(tmp_path, backend)
    assert loaded.depth == 8
    results.append(loaded.filter_plane(plane, 30))
    assert results[-1].dtype == np.uint8
    np.testing.assert_array_equal(results[0], results[-1])


def test_unknown_backend_is_refused(tmp_path):
  with pytest.raises(errors.InputError, match="'gpu', expected one of auto"):
    runtime.load(tmp_path, 'gpu')


def test_deeper_samples_are_refused():
  filter_ = integer_filters.random_filter()
  with pytest.raises(errors.InputError, match='made for 8 bits'):
    runtime.Reference(filter_).filter_plane(np.full([2, 2], 999), 22)
