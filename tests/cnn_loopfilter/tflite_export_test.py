import numpy as np
import pytest
import tensorflow as tf

from cnn_loopfilter import artefact
from cnn_loopfilter import pretrained
from cnn_loopfilter import runtime
from cnn_loopfilter import tflite_export
from tests.cnn_loopfilter import integer_filters

_RESOLVERS = {
    'xnnpack': tf.lite.experimental.OpResolverType.AUTO,
    'builtin': tf.lite.experimental.OpResolverType
               .BUILTIN_WITHOUT_DEFAULT_DELEGATES,
}

# A conversion takes seconds.
_CASES = ('plain', 'split', 'int32')


def _interpreter(model, resolver='xnnpack'):
  return tf.lite.Interpreter(
      model_content=model, num_threads=1,
      experimental_op_resolver_type=_RESOLVERS[resolver])


def _same(filter_, inputs):
  model = tflite_export.model(filter_)
  expected = [runtime.Reference(filter_).filter_batch(*pair)
              for pair in inputs]
  for resolver in _RESOLVERS:
    interpreter = _interpreter(model, resolver)
    run = interpreter.get_signature_runner()
    for (rec, qp), wanted in zip(inputs, expected):
      found = run(reconstruction=rec, qp=qp)['filtered']
      assert found.dtype == np.int32
      np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize('case', _CASES)
def test_all_qps_and_odd_sizes_give_the_same_bits(case):
  filter_ = integer_filters.random_filter(
      **integer_filters.CASES[case])
  rec, _ = integer_filters.random_planes(filter_, 52, 6, 7)
  _same(filter_, [(rec, np.arange(52, dtype=np.int32))] + [
      integer_filters.random_planes(filter_, *shape)
      for shape in ((1, 1, 1), (1, 1, 9), (4, 2, 1), (4, 17, 23))])


@pytest.mark.parametrize('name', pretrained.names())
def test_shipped_filters_give_their_known_answers(name):
  filter_ = artefact.load(pretrained.folder(name))
  _same(filter_, [(filter_.vector.reconstruction, filter_.vector.qp)])


def test_a_limit_above_24_bits_is_clamped_exactly():
  rec = np.arange(256, dtype=np.int32).reshape(1, 16, 16, 1)
  _same(integer_filters.clamping_filter(), [(rec, np.zeros(1, np.int32))])


def test_the_file_needs_builtin_operators_alone(tmp_path):
  tflite_export.save(integer_filters.random_filter(output_bits=16),
                     tmp_path / 'a.tflite')
  interpreter = _interpreter((tmp_path / 'a.tflite').read_bytes(), 'builtin')
  kinds = {op['op_name'] for op in interpreter._get_ops_details()}
  assert {'CONV_2D', 'ROUND', 'FLOOR_DIV'} <= kinds
  assert not any(kind.startswith('Flex') for kind in kinds)
