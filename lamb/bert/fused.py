"""Functions of single elements and of rows, each in few passes over memory.

Written operation by operation, a GELU and its gradient pass some twenty times
over their tensor, and a small network spends more time on that than on its
products. Here XLA compiles each function into one loop, for tensors that are
large enough to pay for the compilation. All of it computes in float32 and
returns the type that came in.
"""

from collections.abc import Callable
import math
from typing import Any

import tensorflow as tf

# Not public, but the only way to see that a graph is being built for XLA as a
# whole, which then compiles these functions too.
from tensorflow.python.ops import control_flow_util  # isort: skip

# Elements from which on a function is compiled, which takes some 0.1 s.
_LEAST_ELEMENTS = 1 << 18
# Values of the random bits that an element is dropped by.
LEVELS = 1 << 16
_ROOT = math.sqrt(2 / math.pi)
_CUBIC = 0.044715
_LAYER_NORM_EPSILON = 1e-12


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
  """Has XLA compile a function of tensors where its first one is large.

  Args:
    function: Takes and returns tensors of static shape.
  """
  whole = tf.function(function, jit_compile=True, autograph=False)

  def call(*tensors):
    is_small = tensors[0].shape.num_elements() < _LEAST_ELEMENTS
    if is_small or control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()):
      return function(*tensors)
    return whole(*tensors)
  return call


@tf.custom_gradient
def gelu(tensor: tf.Tensor) -> tf.Tensor:
  """Computes `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, as published."""
  return _gelu(tensor), lambda upstream: _gelu_gradient(tensor, upstream)


def _gate(x):
  """Returns the factor of x, as a sigmoid: `(1 + tanh z) / 2 = s(2 z)`."""
  return tf.sigmoid(2 * _ROOT * x * (1.0 + _CUBIC * x * x))


@compiled
def _gelu(tensor):
  x = tf.cast(tensor, tf.float32)
  return tf.cast(x * _gate(x), tensor.dtype)


@compiled
def _gelu_gradient(tensor, upstream):
  x, factor = tf.cast(tensor, tf.float32), tf.cast(upstream, tf.float32)
  gate = _gate(x)
  slope = 2 * _ROOT * (1.0 + 3 * _CUBIC * x * x)
  return tf.cast(factor * gate * (1.0 + x * (1.0 - gate) * slope),
                 tensor.dtype)


@tf.custom_gradient
def layer_norm(tensor: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
               ) -> tf.Tensor:
  """Normalises rows: `(x - mean) / sqrt(variance + 1e-12) gamma + beta`.

  Args:
    tensor: [N, H], float32 or bfloat16.
    gamma: float32 [H].
    beta: float32 [H].
  """
  normal, scale, result = _layer_norm(tensor, gamma, beta)
  return result, lambda upstream: _layer_norm_gradient(
      normal, upstream, scale, gamma)


def _row_mean(x):
  return tf.reduce_mean(x, 1, keepdims=True)


@compiled
def _layer_norm(tensor, gamma, beta):
  x = tf.cast(tensor, tf.float32)
  centred = x - _row_mean(x)
  scale = tf.math.rsqrt(
      _row_mean(tf.square(centred)) + _LAYER_NORM_EPSILON)
  normal = centred * scale
  return (tf.cast(normal, tensor.dtype), scale,
          tf.cast(normal * gamma + beta, tensor.dtype))


@compiled
def _layer_norm_gradient(normal, upstream, scale, gamma):
  dtype = normal.dtype
  normal, upstream = (
      tf.cast(each, tf.float32) for each in (normal, upstream))
  product = upstream * normal
  inner = upstream * gamma
  result = scale * (
      inner - _row_mean(inner) - normal * _row_mean(inner * normal))
  return (tf.cast(result, dtype), tf.reduce_sum(product, 0),
          tf.reduce_sum(upstream, 0))


def drop(tensor: tf.Tensor, bits: tf.Tensor, least: int) -> tf.Tensor:
  """Sets elements whose bits are below `least` to 0, scales the others up.

  Args:
    tensor: Of any shape, float32 or bfloat16.
    bits: Random uint16 of the same shape.
    least: Of 65536.
  """
  @tf.custom_gradient
  def apply(tensor):
    # The mask is made again from the bits rather than kept as numbers.
    return _drop(tensor, bits, least), lambda upstream: _drop(
        upstream, bits, least)
  return apply(tensor)


@compiled
def _drop(tensor, bits, least):
  kept = tf.cast(bits >= tf.constant(least, tf.uint16), tf.float32)
  scaled = tf.cast(tensor, tf.float32) * (kept * (LEVELS / (LEVELS - least)))
  return tf.cast(scaled, tensor.dtype)
