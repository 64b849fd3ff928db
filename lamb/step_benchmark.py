"""Times optimizer steps on BERT-base's variables.

The yardstick, timed in the same process, is `ResourceApplyAdam`: TensorFlow's
fused kernel, one call for each variable. Only ratios to it mean anything.
"""

from collections.abc import Callable
import statistics
import time
from typing import Any

import numpy as np
import tensorflow as tf

import lamb
from lamb import keras_face

YARDSTICK = 'ResourceApplyAdam, fused'
_LAYERS, _WIDTH, _VOCABULARY, _POSITIONS = 12, 768, 30522, 512
_REPEATS = 7


def bert_base_shapes() -> dict[str, tuple[int, ...]]:
  """Returns the shape of each of BERT-base's variables, 108.9 M elements."""
  shapes = {
      'embeddings/word': (_VOCABULARY, _WIDTH),
      'embeddings/position': (_POSITIONS, _WIDTH),
      'embeddings/type': (2, _WIDTH),
  }
  dense = {'query': (_WIDTH, _WIDTH), 'key': (_WIDTH, _WIDTH),
           'value': (_WIDTH, _WIDTH), 'output': (_WIDTH, _WIDTH),
           'intermediate': (_WIDTH, 4 * _WIDTH), 'ffn': (4 * _WIDTH, _WIDTH)}
  norms = ['embeddings']
  for layer in range(_LAYERS):
    for name, shape in dense.items():
      shapes[f'layer_{layer}/{name}/kernel'] = shape
      shapes[f'layer_{layer}/{name}/bias'] = shape[1:]
    norms += [f'layer_{layer}/attention', f'layer_{layer}/ffn']
  for norm in norms:
    for name in ('gamma', 'beta'):
      shapes[f'{norm}/LayerNorm/{name}'] = (_WIDTH,)
  return shapes


def optimizers() -> dict[str, Callable[[], Any]]:
  """Returns what is compared under the Keras in use, by name."""
  exclusions = {'exclude_from_weight_decay': lamb.BERT_EXCLUSIONS}
  keras = tf.keras.optimizers
  compared = {
      'lamb.LAMB': lambda: lamb.LAMB(0.001, **exclusions),
      'keras Adam': lambda: keras.Adam(0.001),
      'keras AdamW': lambda: keras.AdamW(0.001, weight_decay=0.01),
  }
  if keras_face.is_keras3():
    compared['keras Lamb'] = lambda: keras.Lamb(0.001)
  else:
    compared['keras legacy.Adam'] = lambda: keras.legacy.Adam(0.001)
  return compared


def measure(name: str) -> dict[str, Any]:
  """Times one optimizer and the yardstick, turn by turn.

  Args:
    name: One of `optimizers()`.

  Returns:
    Seconds of a step by mode, `graph` and `xla`, each the median of 7 (None
    where XLA refuses), and `fused_adam`, the yardstick's.
  """
  rng = np.random.default_rng(0)
  variables = [
      tf.Variable(0.02 * rng.standard_normal(shape, np.float32), name=path)
      for path, shape in bert_base_shapes().items()]
  gradients = [tf.constant(rng.standard_normal(variable.shape, np.float32))
               for variable in variables]
  optimizer = optimizers()[name]()
  if hasattr(optimizer, 'build'):
    optimizer.build(variables)

  def update():
    optimizer.apply_gradients(zip(gradients, variables))

  candidates = {
      'fused_adam': tf.function(_fused_adam(variables, gradients)),
      'graph': tf.function(update),
      'xla': tf.function(update, jit_compile=True),
  }
  return _median_seconds(candidates)


def _fused_adam(variables, gradients):
  """Returns a function that applies the yardstick to all variables."""
  slots = [[tf.Variable(tf.zeros_like(variable), trainable=False)
            for variable in variables] for _ in range(2)]

  def update():
    for variable, m, v, gradient in zip(variables, *slots, gradients):
      tf.raw_ops.ResourceApplyAdam(
          var=variable.handle, m=m.handle, v=v.handle, beta1_power=0.9,
          beta2_power=0.999, lr=0.001, beta1=0.9, beta2=0.999, epsilon=1e-6,
          grad=gradient)

  return update


def _median_seconds(candidates):
  """Returns the median time of a call of each function, by name.

  The functions take turns, so that a machine that changes its pace changes it
  for all of them. Two turns before the counted ones trace and warm up. What
  XLA refuses to compile gets None.
  """
  seconds = {name: [] for name in candidates}
  refused = set()
  for _ in range(_REPEATS + 2):
    for name, function in candidates.items():
      if name in refused:
        continue
      started = time.perf_counter()
      try:
        function()
      except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
        refused.add(name)
      seconds[name].append(time.perf_counter() - started)
  return {name: None if name in refused else statistics.median(times[2:])
          for name, times in seconds.items()}


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
  """Formats results as a Markdown table.

  Args:
    results: What `measure` returned, by environment and optimizer.
  """
  lines = ['| environment | optimizer | graph, s | XLA, s | fused Adam, s | '
           'best / fused Adam |', '|---|---|---|---|---|---|']
  for environment, by_name in results.items():
    for name, result in by_name.items():
      modes = [result['graph'], result['xla']]
      shown = ['-' if value is None else f'{value:.3f}' for value in modes]
      best = min(value for value in modes if value is not None)
      lines.append(
          f'| {environment} | {name} | {shown[0]} | {shown[1]} | '
          f'{result["fused_adam"]:.3f} | {best / result["fused_adam"]:.2f} |')
  return '\n'.join(lines)
