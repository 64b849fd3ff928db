"""Trains the shared problem in a process of its own: one Keras backend each.

    python -m tests.lamb.backend_run OUTPUT.npz RULE OPTIONS_JSON STEPS

The backend is chosen by KERAS_BACKEND, the generation by TF_USE_LEGACY_KERAS.
Besides the weights, the names of the modules that were imported are saved.
"""

import json
import sys

import numpy as np

import lamb
from tests.lamb import problems


def _make_variables(optimizer_class):
  """Returns variables of the backend's kind, by name."""
  start = problems.weights()
  if 'keras2' in optimizer_class.__module__:
    import tensorflow as tf
    return {name: tf.Variable(value, name=name)
            for name, value in start.items()}
  import keras
  variables = {}
  for name, value in start.items():
    scope, last = name.split('/')
    with keras.name_scope(scope):
      variables[name] = keras.Variable(value, name=last)
  return variables


def main(path, rule, options, steps):
  optimizer_class = getattr(lamb, rule)
  variables = _make_variables(optimizer_class)
  optimizer = optimizer_class(
      0.01, exclude_from_weight_decay=problems.EXCLUSIONS,
      **json.loads(options))
  optimizer.build(list(variables.values()))
  if 'keras3' in optimizer_class.__module__:
    import keras
    convert = keras.ops.convert_to_tensor
  else:
    import tensorflow as tf
    convert = tf.constant
  for gradients in problems.gradients(int(steps)):
    optimizer.apply_gradients([
        (convert(gradients[name]), variables[name]) for name in variables])
  def to_numpy(variable):
    if 'keras3' in optimizer_class.__module__:
      return keras.ops.convert_to_numpy(variable.value)
    return variable.numpy()
  np.savez(path, modules=np.array(sorted(
      name for name in sys.modules if '.' not in name)),
           **{name.replace('/', '__'): to_numpy(each)
              for name, each in variables.items()})


if __name__ == '__main__':
  main(*sys.argv[1:])
