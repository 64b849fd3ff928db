"""Imports Mesh-TensorFlow 0.1.21 on TensorFlow 2.13 to 2.15.

It registers its tensor conversion through `tensorflow.python.framework.ops`,
from where TensorFlow 2.13 moved the function away; it is put back here.
"""

from tensorflow.python.framework import ops
from tensorflow.python.framework import tensor_conversion_registry

if not hasattr(ops, 'register_tensor_conversion_function'):
  ops.register_tensor_conversion_function = (
      tensor_conversion_registry.register_tensor_conversion_function)

import mesh_tensorflow as mtf  # noqa: E402

__all__ = ['mtf']
