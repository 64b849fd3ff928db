import dataclasses
import hashlib
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf

from cnn_loopfilter import exact_float
from cnn_loopfilter import int8_kernels
from cnn_loopfilter import runtime
from cnn_loopfilter import runtime_tensorflow
from tests.cnn_loopfilter import integer_filters

_CASES = integer_filters.CASES


@pytest.fixture(scope='module', params=_CASES)
def case(request):
  return integer_filters.random_filter(**_CASES[request.param])


def _kernels(options=()):
  """Those that this process has; XLA has no int8."""
  if 'jit_compile' in options or not int8_kernels.available():
    return runtime_tensorflow.KERNELS[:-1]
  return runtime_tensorflow.KERNELS


def _same(filter_, rec, qp, **options):
  expected = runtime.Reference(filter_).filter_batch(rec, qp)
  for kernels in _kernels(options):
    made = runtime_tensorflow.TensorFlowRuntime(
        filter_, kernels=kernels, **options)
    np.testing.assert_array_equal(made.filter_batch(rec, qp), expected)
  return expected


def test_layers_run_as_the_proof_says():
  ways = {}
  for name, options in _CASES.items():
    filter_ = integer_filters.random_filter(**options)
    ways[name] = {exact_float.split_bits(*pair)
                  for pair in zip(filter_.layers, filter_.plan)}
  assert ways['plain'] == {0}
  assert max(way or 0 for way in ways['split']) > 0
  assert None in ways['int32']


def test_noise_at_all_qps_gives_the_same_bits(case):
  rec, _ = integer_filters.random_planes(case, 52, 6, 7)
  filtered = _same(case, rec, np.arange(52))
  assert (filtered != rec).mean() > 0.5
  largest = 2 ** case.depth - 1
  assert ((filtered == 0) | (filtered == largest)).any()


@pytest.mark.parametrize(('height', 'width'), [
    (1, 1), (1, 9), (2, 1), (3, 3), (13, 1), (17, 23)])
def test_odd_sizes_give_the_same_bits(case, height, width):
  _same(case, *integer_filters.random_planes(case, 1, height, width))


@pytest.mark.parametrize('batch', [1, 4])
def test_tiles_give_the_same_bits_as_the_whole(case, batch):
  rec, qp = integer_filters.random_planes(case, batch, 37, 41)
  _same(case, rec, qp, tile_samples=200 * batch)


def test_extreme_samples_give_the_same_bits(case):
  board = np.indices([11, 12]).sum(axis=0) % 2
  for pattern in (board * 0, board * 0 + 1, board):
    rec = (pattern * (2 ** case.depth - 1)).astype(np.int32)
    _same(case, rec[None, ..., None], np.array([63]))


@pytest.mark.parametrize('size', [(1080, 1920), (240, 416), (5, 700), (9, 9)])
def test_tiles_fit_and_cover(size):
  rows, columns = runtime_tensorflow.tile_shape(*size, 8, 2 ** 16)
  tall = min(size[0], rows + 16)
  wide = min(size[1], columns + 16)
  assert tall * wide <= 2 ** 16
  # What is computed twice stays below a fifth.
  assert (np.ceil(size[0] / rows) * tall * np.ceil(size[1] / columns) * wide
          <= 1.3 * size[0] * size[1])


def test_xla_gives_the_same_bits(case):
  rec, qp = integer_filters.random_planes(case, 2, 8, 9)
  _same(case, rec, qp, jit_compile=True)


def test_fastest_kernels_are_made_without_a_warning():
  filter_ = integer_filters.random_filter(with_vector=True)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    for kernels in _kernels():
      assert runtime_tensorflow.make(filter_, kernels).kernels == kernels


def test_int32_is_used_when_a_bit_differs():
  filter_ = integer_filters.random_filter(with_vector=True)
  wrong = filter_.vector.residual.copy()
  wrong[1, 2, 3, 0] ^= 1
  filter_ = dataclasses.replace(filter_, vector=dataclasses.replace(
      filter_.vector, residual=wrong))
  with pytest.warns(UserWarning, match='the float32 kernels do not give'):
    assert runtime_tensorflow.make(filter_).kernels == 'int32'


def test_float32_is_used_where_int8_is_missing(monkeypatch):
  monkeypatch.setattr(int8_kernels, 'available', lambda: False)
  filter_ = integer_filters.random_filter(with_vector=True)
  assert runtime_tensorflow.make(filter_).kernels == 'float32'


def test_filter_without_known_answer_runs_in_int32():
  with pytest.warns(UserWarning, match='no known answer'):
    made = runtime_tensorflow.make(integer_filters.random_filter())
  assert made.kernels == 'int32'


def _digest():
  """What a child process prints: a hash of all that two filters put out."""
  digest = hashlib.sha256()
  for name in ('plain', 'split'):
    filter_ = integer_filters.random_filter(**_CASES[name])
    rec, qp = integer_filters.random_planes(filter_, 4, 33, 35)
    # Where there is no int8, float32 in its place: the hash stays the same.
    for kernels in ('int32', 'float32', _kernels()[-1]):
      made = runtime_tensorflow.TensorFlowRuntime(filter_, kernels=kernels)
      digest.update(made.filter_batch(rec, qp).tobytes())
  return digest.hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize('onednn', ['0', '1'])
@pytest.mark.parametrize('threads', [1, 2])
def test_onednn_and_threads_change_no_bit(onednn, threads):
  program = (
      'import tensorflow as tf\n'
      f'tf.config.threading.set_intra_op_parallelism_threads({threads})\n'
      f'tf.config.threading.set_inter_op_parallelism_threads({threads})\n'
      'from tests.cnn_loopfilter import runtime_tensorflow_test as test\n'
      'print(test._digest())')
  found = subprocess.run(
      [sys.executable, '-c', program], check=True, capture_output=True,
      text=True, env={**os.environ, 'TF_ENABLE_ONEDNN_OPTS': onednn,
                      'PYTHONPATH': os.pathsep.join(sys.path)})
  assert found.stdout.split()[-1] == _digest()


def test_saved_function_has_the_runtimes_bits():
  filter_ = integer_filters.random_filter()
  rec, qp = integer_filters.random_planes(filter_, 2, 9, 8)
  run = runtime_tensorflow.function(filter_, kernels='int32')
  filtered, _ = run(tf.constant(rec), tf.constant(qp))
  np.testing.assert_array_equal(
      filtered, runtime.Reference(filter_).filter_batch(rec, qp))
