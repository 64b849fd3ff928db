import dataclasses
import json

import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import float_filter


def random_filter(widths=(3, 4), seed=0, edge=3):
  """A filter with norms far from their start."""
  rng = np.random.default_rng(seed)
  layers, inputs = [], 2
  for i, out in enumerate((*widths, 1)):
    kernel = rng.normal(size=[edge, edge, inputs, out]).astype(np.float32)
    vectors = rng.normal(size=[4, out]).astype(np.float32)
    norm = None if i == len(widths) else float_filter.BatchNorm(
        *vectors[:3], np.abs(vectors[3]) + np.float32(0.1), 1e-3)
    bias = rng.normal(size=out).astype(np.float32)
    layers.append(float_filter.Layer(kernel, bias, norm, i < len(widths)))
    inputs = out
  return float_filter.FloatFilter(tuple(layers), 2.0 ** -6, 8, {'made': 'up'})


def test_macs_of_the_paper_are_222912():
  widths = [2, *[64] * 7, 1]
  layers = tuple(float_filter.Layer(np.zeros([3, 3, a, b], np.float32),
                                    np.zeros(b, np.float32))
                 for a, b in zip(widths, widths[1:]))
  source = float_filter.FloatFilter(layers, 1.0)
  assert source.macs_per_sample == 222912
  assert source.widths == (64,) * 7 + (1,)


def test_folding_keeps_the_function():
  layer = random_filter().layers[0]
  x = np.random.default_rng(1).normal(size=2 * 9)
  kernel = layer.kernel.reshape(-1, 3).astype(np.float64)
  y = x @ kernel + layer.bias
  norm = layer.norm
  expected = (norm.scale * (y - norm.mean)
              / np.sqrt(norm.variance + norm.epsilon) + norm.offset)
  folded = layer.folded()
  assert folded.norm is None
  got = x @ folded.kernel.reshape(-1, 3) + folded.bias
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_saved_filter_comes_back(tmp_path):
  source = random_filter()
  source.save(tmp_path / 'f.npz')
  back = float_filter.load(tmp_path / 'f.npz')
  assert (back.residual_scale, back.depth, back.description) == (
      2.0 ** -6, 8, {'made': 'up'})
  for a, b in zip(source.layers, back.layers):
    assert a.relu == b.relu
    np.testing.assert_array_equal(a.kernel, b.kernel)
    np.testing.assert_array_equal(a.bias, b.bias)
    assert (a.norm is None) == (b.norm is None)
    if a.norm:
      for x, y in zip(dataclasses.astuple(a.norm), dataclasses.astuple(b.norm)):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize('content', [b'', b'no zip', b'PK\x03\x04broken'],
                         ids=['empty', 'text', 'cut'])
def test_other_files_are_refused(tmp_path, content):
  (tmp_path / 'f.npz').write_bytes(content)
  with pytest.raises(errors.InputError, match='f.npz: not a float filter'):
    float_filter.load(tmp_path / 'f.npz')


def _with(tmp_path, **changes):
  random_filter().save(tmp_path / 'f.npz')
  with np.load(tmp_path / 'f.npz') as arrays:
    content = {**arrays, **changes}
  np.savez(tmp_path / 'f.npz', **content)
  return tmp_path / 'f.npz'


def test_arrays_that_do_not_fit_are_refused(tmp_path):
  path = _with(tmp_path, **{'1/kernel': np.zeros([3, 3, 5, 4], np.float32)})
  with pytest.raises(errors.InputError, match='layer 1 .* fit 3 inputs'):
    float_filter.load(path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
  path = _with(tmp_path, **{'2/bias': np.full(1, np.nan, np.float32)})
  with pytest.raises(errors.InputError, match='layer 2 .* not finite'):
    float_filter.load(path)


def test_other_versions_are_refused(tmp_path):
  path = _with(tmp_path)
  with np.load(path) as arrays:
    header = json.loads(str(arrays['header'])) | {'version': 9}
  path = _with(tmp_path, header=np.array(json.dumps(header)))
  with pytest.raises(errors.InputError, match='version 9, expected .* 1'):
    float_filter.load(path)
