"""What pre-training minimises, and what its evaluation tells.

Masked-LM loss: `sum(w nll) / (sum(w) + 1e-5)` over the masked positions of a
batch, w 0 where an example has fewer; next-sentence loss: the mean over its
examples. Their sum is minimised (google-research/bert, run_pretraining).
Where google-research divides by each replica's own weights, these are the
whole batch's, so that the loss does not depend on how a batch is divided.
"""

from collections.abc import Mapping
import dataclasses

import numpy as np
import tensorflow as tf

from lamb.bert import config as config_lib
from lamb.bert import examples
from lamb.bert import input_pipeline
from lamb.bert import model

_EPSILON = 1e-5
# The smallest normal float32: a share that vanishes has a finite logarithm.
_LEAST_SHARE = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What the network makes of a batch of B examples with P predictions each.

  Attributes:
    masked_lm_nll: Negative log-likelihoods, float [B P].
    masked_lm_correct: Whether the likeliest token is the right one, float
      [B P].
    next_sentence_nll: float [B].
    next_sentence_correct: float [B].
  """

  masked_lm_nll: tf.Tensor
  masked_lm_correct: tf.Tensor
  next_sentence_nll: tf.Tensor
  next_sentence_correct: tf.Tensor


def outcome(weights: model.Weights, config: config_lib.BertConfig,
            features: Mapping[str, tf.Tensor],
            dropout: model.DropoutFunction,
            dtype: tf.DType = tf.float32) -> Outcome:
  """Runs the network on a batch.

  Args:
    weights: See `model.pretraining_shapes`.
    config: Sizes.
    features: See `examples`, without the leading dimension of the records'
      single values.
    dropout: Takes a tensor and a share.
    dtype: Of the activations, see `model.encode`.
  """
  sequence = model.encode(weights, config, features, dropout, dtype)
  hidden = model.masked_lm_hidden(
      weights, config, sequence, features['masked_lm_positions'])
  sentences = model.next_sentence_logits(
      weights, model.pool(weights, sequence))
  ids = tf.reshape(features['masked_lm_ids'], [-1])
  labels = tf.reshape(features[examples.LABELS], [-1])
  return Outcome(
      *_score_tokens(hidden, weights[model.WORDS],
                     weights['cls/predictions/output_bias'], ids),
      tf.nn.sparse_softmax_cross_entropy_with_logits(labels, sentences),
      _correct(sentences, labels))


def _correct(logits, labels):
  return tf.cast(
      tf.equal(tf.argmax(logits, -1, labels.dtype), labels), tf.float32)


@tf.custom_gradient
def _score_tokens(hidden, words, bias, ids):
  """Returns nll [N] of the ids, and whether each is the likeliest token.

  The logits [N, V] are by far the largest tensor of a small network, and each
  pass over them counts: TensorFlow's fused cross-entropy takes longer than the
  products. Here one softmax p serves value and gradient: nll is `-log p_id`,
  no less than the smallest normal number taken for p_id, some 87 nats; the
  gradient to the logits is p less one at the id, which is exact for any p, and
  both parts go through the products by themselves. Each row's factor goes to
  the small side of a product, and the bias is one more column of the
  embeddings.

  Args:
    hidden: [N, H], float32 or bfloat16; the products and the softmax are of
      this type.
    words: float32 [V, H].
    bias: float32 [V].
    ids: int32 [N].
  """
  dtype = hidden.dtype
  rounded = tf.cast(words, dtype)
  logits = tf.nn.bias_add(tf.matmul(hidden, rounded, transpose_b=True),
                          tf.cast(bias, dtype))
  shares = tf.nn.softmax(logits)
  own_words, hidden = (tf.cast(each, tf.float32)
                       for each in (tf.gather(rounded, ids), hidden))
  own_shares = tf.cast(tf.gather(shares, ids, axis=1, batch_dims=1),
                       tf.float32)
  nll = -tf.math.log(tf.maximum(own_shares, _LEAST_SHARE))

  def gradient(factor, unused_correct):
    factor = factor[:, None]
    scaled = tf.concat([hidden * factor, factor], 1)
    table = tf.cast(tf.matmul(
        shares, tf.cast(scaled, dtype), transpose_a=True), tf.float32)
    table -= tf.math.unsorted_segment_sum(scaled, ids, words.shape[0])
    inner = tf.cast(tf.matmul(shares, rounded), tf.float32) - own_words
    return (tf.cast(inner * factor, dtype), table[:, :-1], table[:, -1], None)

  return (nll, _correct(logits, ids)), gradient


def divisors(features: Mapping[str, tf.Tensor], batch: int,
             cross_replica: bool) -> tuple[tf.Tensor, float]:
  """Returns what the two sums over the whole batch are divided by.

  Args:
    features: Of the whole batch, or of one TPU core's share of it.
    batch: Examples in the whole batch.
    cross_replica: Whether to sum over TPU cores.
  """
  total = tf.reduce_sum(features[examples.WEIGHTS])
  if cross_replica:
    total = tf.compat.v1.tpu.cross_replica_sum(total)
  return total + _EPSILON, float(batch)


def terms(found: Outcome, features: Mapping[str, tf.Tensor],
          divided_by: tuple[tf.Tensor, float]) -> list[tf.Tensor]:
  """Returns a part's share of masked-LM and next-sentence loss, scalars."""
  weights = tf.reshape(features[examples.WEIGHTS], [-1])
  return [tf.reduce_sum(weights * found.masked_lm_nll) / divided_by[0],
          tf.reduce_sum(found.next_sentence_nll) / divided_by[1]]


def evaluation_tensors(found: Outcome, features: Mapping[str, tf.Tensor]
                       ) -> dict[str, tf.Tensor]:
  """Returns what `metrics` takes, each with the batch first."""
  batch = features['input_ids'].shape[0]
  example_weights = features[input_pipeline.EXAMPLE_WEIGHTS]
  # Per example, so that a TPU can join what its cores found.
  return {
      'masked_lm_nll': tf.reshape(found.masked_lm_nll, [batch, -1]),
      'masked_lm_correct': tf.reshape(found.masked_lm_correct, [batch, -1]),
      'masked_lm_weights': (
          features[examples.WEIGHTS] * example_weights[:, None]),
      'next_sentence_nll': found.next_sentence_nll,
      'next_sentence_correct': found.next_sentence_correct,
      'example_weights': example_weights}


def metrics(masked_lm_nll: tf.Tensor, masked_lm_correct: tf.Tensor,
            masked_lm_weights: tf.Tensor, next_sentence_nll: tf.Tensor,
            next_sentence_correct: tf.Tensor, example_weights: tf.Tensor
            ) -> dict[str, tuple[tf.Tensor, tf.Operation]]:
  """Returns the streaming metrics under google-research/bert's names."""
  mean = tf.compat.v1.metrics.mean
  return {
      'masked_lm_accuracy': mean(masked_lm_correct, masked_lm_weights),
      'masked_lm_loss': mean(masked_lm_nll, masked_lm_weights),
      'next_sentence_accuracy': mean(next_sentence_correct, example_weights),
      'next_sentence_loss': mean(next_sentence_nll, example_weights)}
