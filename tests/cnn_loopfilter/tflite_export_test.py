"""Random filters; the shipped ones: vectors_test."""

import numpy as np
import pytest
import tensorflow as tf

from cnn_loopfilter import runtime
from cnn_loopfilter import tflite_export
from tests.cnn_loopfilter import integer_filters
from tests.cnn_loopfilter import interchange_runners


def _same(filter_, model, inputs):
  reference = runtime.Reference(filter_)
  expected = [reference.filter_batch(*pair) for pair in inputs]
  for run in interchange_runners.tflite_batches(model):
    for pair, wanted in zip(inputs, expected):
      found = run(*pair)
      assert found.dtype == np.int32
      np.testing.assert_array_equal(found, wanted)


# A conversion takes seconds.
@pytest.mark.parametrize('case', ['plain', 'split', 'int32'])
def test_all_qps_and_odd_sizes_give_the_same_bits(case):
  filter_ = integer_filters.random_filter(**integer_filters.CASES[case])
  rec, _ = integer_filters.random_planes(filter_, 52, 6, 7)
  _same(filter_, tflite_export.model(filter_), [
      (rec, np.arange(52, dtype=np.int32))] + [
          integer_filters.random_planes(filter_, *shape)
          for shape in ((1, 1, 1), (1, 1, 9), (4, 2, 1), (4, 17, 23))])


def test_a_file_of_builtin_operators_clamps_above_24_bits_exactly(tmp_path):
  filter_ = integer_filters.clamping_filter()
  tflite_export.save(filter_, tmp_path / 'a.tflite')
  model = (tmp_path / 'a.tflite').read_bytes()
  rec = np.arange(256, dtype=np.int32).reshape(1, 16, 16, 1)
  _same(filter_, model, [(rec, np.zeros(1, np.int32))])
  kinds = {op['op_name'] for op in tf.lite.Interpreter(
      model_content=model)._get_ops_details()}
  assert {'CONV_2D', 'FLOOR_DIV'} <= kinds
  assert not any(kind.startswith('Flex') for kind in kinds)
