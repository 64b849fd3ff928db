"""Imports Mesh-TensorFlow 0.1.21 on TensorFlow 2.13 to 2.15.

Mesh-TensorFlow registers its tensor conversion through
`tensorflow.python.framework.ops`, from where TensorFlow 2.13 moved the
function away. It is put back here, and every other file of the package takes
`mtf` from here.
"""

from tensorflow.python.framework import ops
from tensorflow.python.framework import tensor_conversion_registry

if not hasattr(ops, 'register_tensor_conversion_function'):
  ops.register_tensor_conversion_function = (
      tensor_conversion_registry.register_tensor_conversion_function)

import mesh_tensorflow as mtf  # noqa: E402
import mesh_tensorflow.placement_mesh_impl  # noqa: E402,F401
import mesh_tensorflow.simd_mesh_impl  # noqa: E402,F401

__all__ = ['mtf']
