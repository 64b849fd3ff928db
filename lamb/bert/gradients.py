"""Gradients of a loss over a batch that is computed in parts.

A batch is divided among replicas (devices of this graph, or TPU cores that
each run it), and each replica's share into micro-batches that follow each
other in a loop, so that a batch of any size fits. Terms of the loss are sums
over examples, divided by what is known of the whole batch: the parts' sums are
the whole batch's loss and gradient, however it is divided.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import tensorflow as tf

from lamb.bert import dropout as dropout_lib
from lamb.bert import input_pipeline

Tensors = Mapping[str, tf.Tensor]
# Takes weights, features of a part and its dropout; returns the terms.
LossTerms = Callable[[Tensors, Tensors, dropout_lib.Dropout], list[tf.Tensor]]


def compute(loss_terms: LossTerms, variables: Mapping[str, tf.Variable],
            features: Tensors, *, terms: int, seed: int, step: tf.Tensor,
            devices: Sequence[str] = ('',), accumulate_steps: int = 1,
            cross_replica: bool = False
            ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
  """Computes the terms of the loss and the gradients of their sum.

  Args:
    loss_terms: The loss of a part of the batch.
    variables: What to differentiate by, by name.
    features: [batch, ...], divided by replicas and micro-batches; among them
      `example_numbers`.
    terms: How many terms there are.
    seed: Of the dropout.
    step: Scalar, the global step.
    devices: Of the replicas in this graph; '' for wherever TensorFlow likes.
    accumulate_steps: Micro-batches of a replica.
    cross_replica: Whether to sum over TPU cores too.

  Returns:
    The terms, scalars, and the gradients by name, of the whole batch.
  """
  parts = [{} for _ in devices]
  for name, tensor in features.items():
    for part, piece in zip(parts, tf.split(tensor, len(devices))):
      part[name] = piece
  results = []
  for device, part in zip(devices, parts):
    with tf.device(device):
      results.append(_accumulate(
          loss_terms, variables, part, terms, seed, step, accumulate_steps))
  summed = [tf.add_n(list(each)) if len(each) > 1 else each[0]
            for each in zip(*results)]
  if cross_replica:
    summed = [tf.compat.v1.tpu.cross_replica_sum(each) for each in summed]
  return summed[:terms], dict(zip(variables, summed[terms:]))


def _accumulate(loss_terms, variables, features, terms, seed, step, count):
  """Returns terms and gradients of one replica's share, one after another."""
  weights = {name: variable.read_value()
             for name, variable in variables.items()}

  def part(features):
    # Made anew inside a loop: gradients are taken by tensors of its own graph.
    own = {name: tf.identity(weight) for name, weight in weights.items()}
    dropout = dropout_lib.Dropout(
        seed, step, features[input_pipeline.EXAMPLE_NUMBERS][0])
    losses = loss_terms(own, features, dropout)
    gradients = tf.gradients(tf.add_n(losses), list(own.values()))
    return [*losses, *map(tf.convert_to_tensor, gradients)]

  if count == 1:
    return part(features)
  micro = {name: tf.reshape(tensor, [count, -1, *tensor.shape[1:]])
           for name, tensor in features.items()}

  def body(i, *sums):
    values = part({name: tensor[i] for name, tensor in micro.items()})
    return [i + 1, *(total + value for total, value in zip(sums, values))]

  zeros = [tf.zeros([])] * terms + list(map(tf.zeros_like, weights.values()))
  return tf.while_loop(lambda i, *_: i < count, body, [0, *zeros],
                       parallel_iterations=1)[1:]


def clip(gradients: Mapping[str, tf.Tensor], clip_norm: float
         ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
  """Scales gradients whose global norm exceeds `clip_norm` (0: never).

  Returns:
    The gradients, and the global norm that they had.
  """
  norm = tf.linalg.global_norm(list(gradients.values()))
  if not clip_norm:
    return dict(gradients), norm
  clipped, _ = tf.clip_by_global_norm(
      list(gradients.values()), clip_norm, use_norm=norm)
  return dict(zip(gradients, clipped)), norm
