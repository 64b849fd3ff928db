"""Chooses the module that fits the Keras in use."""

import importlib
import importlib.util
import types

from lamb import errors


def module() -> types.ModuleType:
  """Imports and returns `lamb.keras2` or `lamb.keras3`.

  It is decided by what `tf.keras` is, which on TensorFlow 2.16 and later is
  Keras 3 or, where the user has asked for it, tf_keras. With another backend
  of Keras 3, or where TensorFlow is not installed, TensorFlow is not imported.

  Raises:
    InputError: No Keras is installed.
  """
  return importlib.import_module(
      'lamb.keras3' if is_keras3() else 'lamb.keras2')


def is_keras3() -> bool:
  """Tells whether the Keras in use is of the third generation.

  Raises:
    InputError: No Keras is installed.
  """
  has_tensorflow = importlib.util.find_spec('tensorflow') is not None
  if importlib.util.find_spec('keras') is not None:
    keras = importlib.import_module('keras')
    if _generation(keras) >= 3 and (
        not has_tensorflow or keras.backend.backend() != 'tensorflow'):
      return True
  if not has_tensorflow:
    raise errors.InputError(
        'No Keras found: expected TensorFlow (pip install '
        '"mtf-lamb-loopfilter[tensorflow]"), or Keras 3 with JAX or PyTorch.')
  tensorflow = importlib.import_module('tensorflow')
  return _generation(tensorflow.keras) >= 3


def _generation(keras: types.ModuleType) -> int:
  """Returns the major version of a Keras module; 2.15's has no version."""
  return int(getattr(keras, '__version__', '2').split('.')[0])
