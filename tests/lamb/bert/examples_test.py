import numpy as np
import tensorflow as tf

from lamb.bert import examples
from tests.lamb.bert import small


def test_records_are_examples_of_tensorflow():
  arrays = small.arrays(7, vocab_size=30522)
  records = examples.serialize(arrays)
  assert len(records) == 7
  for row, record in enumerate(records):
    features = tf.train.Example.FromString(record).features.feature
    assert set(features) == set(arrays)
    for name, values in arrays.items():
      kind = 'float_list' if name == examples.WEIGHTS else 'int64_list'
      np.testing.assert_array_equal(
          getattr(features[name], kind).value, values[row])


def test_every_length_of_a_number_is_written():
  numbers = np.array([[0, 127, 128, 16383, 16384, (1 << 21) - 1]])
  (record,) = examples.serialize({'x': numbers})
  feature = tf.train.Example.FromString(record).features.feature['x']
  assert list(feature.int64_list.value) == numbers[0].tolist()


def test_long_features_have_long_headers():
  numbers = np.arange(512)[None]
  (record,) = examples.serialize({'x': numbers})
  feature = tf.train.Example.FromString(record).features.feature['x']
  assert list(feature.int64_list.value) == list(range(512))
