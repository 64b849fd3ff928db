"""Filters of the scripts for sequences of 8 bits and more."""

import importlib
import pathlib

import numpy as np
import pytest

from cnn_loopfilter import bit_depth
from cnn_loopfilter import errors
from cnn_loopfilter import export
from cnn_loopfilter import frames
from cnn_loopfilter import runtime
from tests.cnn_loopfilter import integer_filters

_SCRIPTS = pathlib.Path(__file__).parents[2] / 'scripts' / 'cnn_loopfilter'


@pytest.fixture(scope='module', name='work')
def _work(tmp_path_factory):
  work = tmp_path_factory.mktemp('work')
  for name, depth in (('eight', 8), ('deep', 10)):
    export.save(integer_filters.random_filter(
        depth=depth, residual_bits=6, with_vector=True), work / name)
  return work


@pytest.fixture(name='load')
def _load(monkeypatch):
  monkeypatch.syspath_prepend(str(_SCRIPTS))
  return importlib.import_module('plane_filters').load


def _sequences(*depths):
  return [frames.Sequence(f'of{depth}', frames.Format(32, 32, depth), 1, list)
          for depth in depths]


def test_one_filter_serves_8_and_10_bits(load, work):
  plane_filter = load([f'x={work}/eight'], _sequences(8, 10))['x']
  filter_ = integer_filters.random_filter(residual_bits=6)
  for depth in (8, 10):
    plane = np.random.default_rng(0).integers(0, 2 ** depth, (9, 14)).astype(
        frames.sample_dtype(depth))
    np.testing.assert_array_equal(
        plane_filter(plane, 30), runtime.Reference(
            bit_depth.at_depth(filter_, depth)).filter_plane(plane, 30))


@pytest.mark.parametrize('name, depths, message', [
    ('deep', (8,), 'deep is for 10 bits, but of8 has 8'),
    ('eight', (8, 10, 12), 'sequences of 8 and 10 and 12 bits, expected 8 and'),
    ('none', (8,), 'none: no such file or folder'),
])
def test_filters_that_cannot_serve_are_told(load, work, name, depths, message):
  with pytest.raises(errors.InputError, match=message):
    load([f'{work}/{name}'], _sequences(*depths))
