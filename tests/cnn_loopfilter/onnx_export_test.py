import numpy as np
import onnx
import onnxruntime
import pytest

from cnn_loopfilter import artefact
from cnn_loopfilter import onnx_export
from cnn_loopfilter import pretrained
from cnn_loopfilter import runtime
from tests.cnn_loopfilter import integer_filters
from tests.cnn_loopfilter import interchange_runners

_LEVELS = (onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
           onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)


@pytest.fixture(scope='module', params=integer_filters.MORE_CASES)
def filter_(request):
  return integer_filters.random_filter(
      **integer_filters.MORE_CASES[request.param])


@pytest.mark.parametrize('level', _LEVELS, ids=['as_written', 'optimized'])
def test_all_qps_and_odd_sizes_give_the_same_bits(filter_, level):
  run = interchange_runners.onnx_batches(filter_, level)
  reference = runtime.Reference(filter_)
  rec, _ = integer_filters.random_planes(filter_, 52, 6, 7)
  inputs = [(rec, np.arange(52, dtype=np.int32))] + [
      integer_filters.random_planes(filter_, *shape)
      for shape in ((1, 1, 1), (1, 1, 9), (4, 2, 1), (4, 17, 23))]
  for rec, qp in inputs:
    filtered = run(rec, qp)
    assert filtered.dtype == np.int32
    np.testing.assert_array_equal(filtered, reference.filter_batch(rec, qp))


@pytest.mark.parametrize('name', pretrained.names())
def test_shipped_filters_give_their_known_answers(name):
  filter_ = artefact.load(pretrained.folder(name))
  vector = filter_.vector
  for level in _LEVELS:
    run = interchange_runners.onnx_batches(filter_, level)
    np.testing.assert_array_equal(run(vector.reconstruction, vector.qp),
                                  vector.filtered)


def test_a_limit_above_24_bits_is_clamped_exactly():
  filter_ = integer_filters.clamping_filter()
  rec = np.arange(256, dtype=np.int32).reshape(1, 16, 16, 1)
  qp = np.zeros(1, np.int32)
  np.testing.assert_array_equal(
      interchange_runners.onnx_batches(filter_)(rec, qp),
      runtime.Reference(filter_).filter_batch(rec, qp))


def test_the_file_holds_the_model_and_is_the_same_each_time(tmp_path):
  filter_ = integer_filters.random_filter()
  for name in ('a.onnx', 'b.onnx'):
    onnx_export.save(filter_, tmp_path / name)
  assert (tmp_path / 'a.onnx').read_bytes() == (
      tmp_path / 'b.onnx').read_bytes()
  graph = onnx.load(tmp_path / 'a.onnx').graph
  assert [value.name for value in graph.input] == ['reconstruction', 'qp']
  assert [value.name for value in graph.output] == ['filtered']
