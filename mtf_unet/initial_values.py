"""Makes a weight's start a function of the seed and its name alone.

TensorFlow otherwise counts the operations of the graph up to an initializer,
and a graph for two workers has others than one for a single process.
"""

from collections.abc import Iterator
import contextlib
import zlib

import tensorflow as tf


@contextlib.contextmanager
def by_name() -> Iterator[None]:
  """Within it, variables draw from the graph's seed and their own name."""
  scope = tf.compat.v1.get_variable_scope()
  with tf.compat.v1.variable_scope(scope, custom_getter=_seeded):
    yield


def _seeded(getter, name, *args, initializer=None, **keywords):
  if getattr(initializer, 'seed', 0) is None:
    settings = initializer.get_config() | {
        'seed': zlib.crc32(name.encode()) & 0x7fffffff}
    initializer = type(initializer).from_config(settings)
  return getter(name, *args, initializer=initializer, **keywords)
