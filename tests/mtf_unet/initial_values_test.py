"""What a weight starts with."""

import numpy as np
import tensorflow as tf

from mtf_unet import initial_values

tf1 = tf.compat.v1


def _values(seed, others, names=('a', 'b')):
  with tf.Graph().as_default(), tf1.Session() as session:
    tf1.set_random_seed(seed)
    for _ in range(others):
      tf.zeros([1])
    with tf1.variable_scope('net'), initial_values.by_name():
      variables = [tf1.get_variable(
          name, [4, 4], initializer=tf1.glorot_uniform_initializer())
                   for name in names]
      tf1.get_variable('zeros', [1], initializer=tf1.zeros_initializer())
    session.run(tf1.global_variables_initializer())
    return session.run(variables)


def test_other_operations_in_the_graph_change_nothing():
  np.testing.assert_array_equal(_values(1, others=0), _values(1, others=3))
  np.testing.assert_array_equal(_values(1, others=0)[::-1],
                                _values(1, others=0, names=('b', 'a')))


def test_names_and_seeds_draw_differently():
  first, second = _values(1, others=0)
  assert not np.array_equal(first, second)
  assert not np.array_equal(first, _values(2, others=0)[0])
