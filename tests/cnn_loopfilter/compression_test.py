import dataclasses
import math

import numpy as np
import pytest

from cnn_loopfilter import compression
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import errors
from cnn_loopfilter import float_filter

_WIDTHS = (8, 6, 7)


def _norm(rng, width):
  return float_filter.BatchNorm(
      scale=rng.normal(0, 1, width).astype(np.float32),
      offset=rng.normal(0, 1, width).astype(np.float32),
      mean=rng.normal(0, 1, width).astype(np.float32),
      variance=rng.uniform(0.5, 2, width).astype(np.float32), epsilon=1e-3)


def _filter(widths=_WIDTHS, seed=0):
  rng = np.random.default_rng(seed)
  layers, inputs = [], 2
  for i, width in enumerate((*widths, 1)):
    last = i == len(widths)
    layers.append(float_filter.Layer(
        rng.normal(0, 0.3, [3, 3, inputs, width]).astype(np.float32),
        rng.normal(0, 0.3, width).astype(np.float32),
        None if last else _norm(rng, width), not last))
    inputs = width
  return float_filter.FloatFilter(tuple(layers), 2.0 ** -6)


def _run(source, x, pad=True):
  """Plain arithmetic: x [height, width, 2] to [height, width]."""
  for layer in source.layers:
    if pad:
      x = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    height, width = x.shape[0] - 2, x.shape[1] - 2
    y = sum(x[i:i + height, j:j + width] @ layer.kernel[i, j].astype(float)
            for i in range(3) for j in range(3)) + layer.bias
    if layer.norm is not None:
      y = (y - layer.norm.mean) * layer.norm.gain + layer.norm.offset
    x = np.maximum(y, 0) if layer.relu else y
  return x[..., 0]


def _with_scale(source, layer, index, value):
  norm = source.layers[layer].norm
  scale = norm.scale.copy()
  scale[index] = value
  layers = list(source.layers)
  layers[layer] = dataclasses.replace(
      layers[layer], norm=dataclasses.replace(norm, scale=scale))
  return dataclasses.replace(source, layers=tuple(layers))


def _masks(source, *gone):
  masks = [np.ones(width, bool) for width in source.widths[:-1]]
  for layer, index in gone:
    masks[layer][index] = False
  return masks


def _config(**keys):
  return config_lib.build(config_lib.CompressionConfig,
                          {'minimum_width': 1, **keys})


def _threshold(value, **keys):
  return _config(threshold=value, keep_macs=None, **keys)


@pytest.mark.parametrize('gone', [
    [(0, 3)], [(1, 0)], [(2, 6)], [(0, 1), (0, 2), (1, 5), (2, 0)]],
    ids=['first', 'middle', 'last', 'several'])
def test_filters_of_scale_zero_go_without_a_trace(gone):
  source = _filter()
  for layer, index in gone:
    source = _with_scale(source, layer, index, 0.0)
  pruned = compression.prune(source, _masks(source, *gone))
  x = np.random.default_rng(1).uniform(0, 1, [13, 14, 2])
  np.testing.assert_allclose(_run(pruned, x, pad=False),
                             _run(source, x, pad=False), rtol=1e-4, atol=1e-4)


def test_keeping_all_changes_nothing():
  source = _filter()
  pruned = compression.prune(source, _masks(source))
  for old, new in zip(source.layers, pruned.layers):
    np.testing.assert_array_equal(new.kernel, old.kernel)
    np.testing.assert_array_equal(new.bias, old.bias)


def test_pruned_network_is_smaller_and_still_valid(tmp_path):
  source = _filter()
  pruned = compression.prune(source, _masks(source, (0, 1), (1, 2), (1, 3)))
  assert pruned.widths == (7, 4, 7, 1)
  assert pruned.macs_per_sample == 9 * (2 * 7 + 7 * 4 + 4 * 7 + 7)
  pruned.save(tmp_path / 'pruned.npz')
  assert float_filter.load(tmp_path / 'pruned.npz').widths == pruned.widths


def test_mean_output_is_the_mean_of_a_normal_input():
  layer = _filter().layers[0]
  x = np.random.default_rng(2).normal(size=[400_000, 1])
  expected = np.maximum(
      x * layer.norm.scale + layer.norm.offset, 0).mean(axis=0)
  np.testing.assert_allclose(compression.mean_output(layer), expected,
                             atol=0.01)


def test_mean_output_of_scale_zero_is_the_rectified_offset():
  layer = _filter().layers[0]
  layer = dataclasses.replace(layer, norm=dataclasses.replace(
      layer.norm, scale=np.zeros(8, np.float32)))
  np.testing.assert_allclose(compression.mean_output(layer),
                             np.maximum(layer.norm.offset, 0), atol=1e-9)


def test_threshold_keeps_the_scales_at_or_above_it():
  source = _filter()
  kept = compression.choose(source, _threshold(0.7))
  for mask, layer in zip(kept, source.layers):
    np.testing.assert_array_equal(mask, np.abs(layer.norm.scale) >= 0.7)


def test_every_layer_keeps_its_best_filters():
  source = _filter()
  kept = compression.choose(source, _threshold(100.0, minimum_width=2))
  for mask, layer in zip(kept, source.layers):
    best = np.argsort(-np.abs(layer.norm.scale))[:2]
    assert set(np.flatnonzero(mask)) == set(best)


def test_widths_are_rounded_up_to_the_multiple():
  source = _filter((16, 16))
  kept = compression.choose(source, _threshold(0.7, width_multiple=4))
  plain = compression.choose(source, _threshold(0.7))
  for mask, bare in zip(kept, plain):
    assert mask.sum() == math.ceil(bare.sum() / 4) * 4
    assert mask[bare].all()


@pytest.mark.parametrize('importance', ['scale', 'contribution', 'magnitude'])
@pytest.mark.parametrize('part', [0.25, 0.5, 0.9, 1.0])
def test_target_is_met_with_as_many_filters_as_it_allows(importance, part):
  source = _filter((16, 12, 20))
  kept = compression.choose(source, _config(keep_macs=part,
                                            importance=importance))
  left = compression.prune(source, kept).macs_per_sample
  assert left == compression.macs(source, kept)
  assert left <= part * source.macs_per_sample
  # One filter is at most 9 (20 + 16) multiplications.
  assert left > part * source.macs_per_sample - 9 * 36


def test_least_important_filters_of_all_layers_go_first():
  source = _filter((8, 8))
  source = _with_scale(source, 1, np.arange(8), np.arange(8) / 100)
  source = _with_scale(source, 0, np.arange(8), 1.0)
  kept = compression.choose(source, _config(keep_macs=0.7))
  assert kept[0].all()
  assert (np.flatnonzero(kept[1]) >= 8 - kept[1].sum()).all()


def test_contribution_sees_a_large_scale_that_nobody_reads():
  source = _with_scale(_filter(), 0, 2, 50.0)
  kernel = source.layers[1].kernel.copy()
  kernel[:, :, 2] = 0
  layers = list(source.layers)
  layers[1] = dataclasses.replace(layers[1], kernel=kernel)
  source = dataclasses.replace(source, layers=tuple(layers))
  assert np.argmax(compression.importances(source, 'scale')[0]) == 2
  assert np.argmin(compression.importances(source, 'contribution')[0]) == 2


def test_target_below_the_smallest_widths_is_refused():
  with pytest.raises(errors.InputError, match=r'keep_macs: got 0\.01, expec'):
    compression.choose(_filter(), _config(keep_macs=0.01, minimum_width=4))


def test_filter_without_batch_norm_has_no_scales():
  with pytest.raises(errors.InputError, match='without batch norm'):
    compression.importances(_filter().folded(), 'scale')


@pytest.mark.parametrize('keys, words', [
    ({'threshold': 0.1}, 'either a threshold or'),
    ({'keep_macs': 1.5}, 'compression.keep_macs'),
    ({'importance': 'luck'}, "'scale', 'contribution' or 'magnitude'"),
    ({'width_multiple': 0}, 'compression.width_multiple'),
], ids=['both', 'part', 'importance', 'multiple'])
def test_wrong_settings_are_refused(keys, words):
  with pytest.raises(errors.InputError, match=words):
    _config(**keys)


def test_table_of_the_paper_s_network_and_its_sum():
  before = _filter((64,) * 7)
  kept = [np.arange(64) < 32] * 7
  rows = compression.layer_table(before, compression.prune(before, kept))
  assert rows[0]['macs'] == [9 * 2 * 64, 9 * 2 * 32]
  assert rows[1]['filters'] == [64, 32]
  assert rows[1]['parameters'] == [9 * 64 * 64 + 64, 9 * 32 * 32 + 32]
  assert rows[-1]['macs'] == [222_912, 56_160]
  text = compression.format_table(rows).splitlines()
  assert len(text) == 10
  assert text[-1].split()[-1] == '25.2%'
