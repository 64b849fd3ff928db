"""Turns a trained filter into the folder that decoders load.

  float filter -> folded -> lengths -> integers, proven to fit int32
    -> SavedModel + filter.npz + filter.json, with a known answer
"""

import dataclasses
import os
import pathlib

import numpy as np
import tensorflow as tf

from cnn_loopfilter import artefact
from cnn_loopfilter import atomic_file
from cnn_loopfilter import errors
from cnn_loopfilter import exact_float
from cnn_loopfilter import integer_graph
from cnn_loopfilter import runtime
from cnn_loopfilter import runtime_tensorflow

_SAVED_MODEL = 'saved_model.pb'
# Two planes of the known answer: enough to meet each kernel's inner part and
# its edges, and still a fraction of a second for the reference.
_VECTOR_SHAPE = (2, 19, 35, 1)


def known_answer(filter_: integer_graph.IntegerFilter
                 ) -> integer_graph.TestVector:
  """Lets the reference answer for noise over the whole range."""
  rng = np.random.Generator(np.random.PCG64(0))
  reconstruction = rng.integers(0, 2 ** filter_.depth, _VECTOR_SHAPE)
  # The second plane is smooth, as pictures are; noise alone may clamp much.
  height, width = _VECTOR_SHAPE[1:3]
  slope = np.add.outer(np.arange(height), np.arange(width))
  reconstruction[1, :, :, 0] = (slope << (filter_.depth - 6)) + (
      reconstruction[1, :, :, 0] >> 5)
  reconstruction = np.minimum(reconstruction, 2 ** filter_.depth - 1).astype(
      np.int32)
  qp = np.array([37, 22], np.int32)
  reference = runtime.Reference(filter_)
  return integer_graph.TestVector(
      reconstruction, qp,
      reference.residual(reconstruction, qp).astype(np.int32),
      reference.filter_batch(reconstruction, qp))


def save(filter_: integer_graph.IntegerFilter,
         folder: str | os.PathLike) -> integer_graph.IntegerFilter:
  """Writes the whole artefact, or nothing.

  Args:
    filter_: the filter; a known answer is added where it has none.
    folder: its name; must not exist, or be empty.

  Returns:
    The filter with its known answer.

  Raises:
    InputError: if the folder is in use.
  """
  path = pathlib.Path(folder)
  if path.exists() and (not path.is_dir() or any(path.iterdir())):
    raise errors.InputError(
        f'{path}: exists already, expected the name of a new folder')
  if filter_.vector is None:
    filter_ = dataclasses.replace(filter_, vector=known_answer(filter_))
  with atomic_file.replacing_folder(path) as temporary:
    _save_model(filter_, temporary)
    artefact.save(filter_, temporary, others=[_SAVED_MODEL])
  return filter_


def _save_model(filter_, folder):
  """Writes the SavedModel of the int32 graph."""
  module = tf.Module()
  run = runtime_tensorflow.function(filter_, kernels='int32')
  module.serve = tf.function(
      lambda reconstruction, qp: {'filtered': run(reconstruction, qp)[0]},
      input_signature=[
          tf.TensorSpec([None, None, None, 1], tf.int32, 'reconstruction'),
          tf.TensorSpec([None], tf.int32, 'qp')])
  tf.saved_model.save(module, str(folder),
                      signatures={'serving_default': module.serve})
  # Differs from run to run, and nothing needs it.
  (folder / 'fingerprint.pb').unlink(missing_ok=True)


def format_table(filter_: integer_graph.IntegerFilter) -> str:
  """Describes the layers: lengths, largest sums, and how floats run them."""
  lines = ['| layer | in | out | weights | biases | outputs | sum up to | '
           'of int32 | float32 kernels |', '|---' * 9 + '|']
  for i, (layer, step) in enumerate(zip(filter_.layers, filter_.plan)):
    bits = exact_float.split_bits(layer, step)
    way = {0: 'float32', None: 'int32'}.get(bits, f'float32, split at {bits}')
    widths = [f'{layer.weight_bits} bits, fl {layer.weight_fl}',
              f'{layer.bias_bits} bits, fl {layer.bias_fl}',
              f'{layer.output_bits} bits, fl {layer.output_fl}']
    bound = int(step.bound.max())
    lines.append(
        f'| {i} | {layer.weights.shape[2]} | {layer.weights.shape[3]} | '
        + ' | '.join(widths)
        + f' | {bound} | {bound / 2 ** 31:.1%} | {way} |')
  return '\n'.join(lines)
