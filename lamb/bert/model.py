"""BERT's encoder and its heads, as functions of a dict of weights.

The network of arXiv:1810.04805 as google-research/bert publishes it: the
weights have the names and shapes of its checkpoints, so that those load and
what is trained here loads there. Being functions of tensors, the same code
serves a replica, a micro-batch inside a loop, and a TPU core.

Dimensions: B batch, L sequence length, P predictions of an example, H hidden
size, A attention heads, D = H / A, V vocabulary.
"""

from collections.abc import Callable
from collections.abc import Mapping
import math

import tensorflow as tf

from lamb import errors
from lamb.bert import config as config_lib
from lamb.bert import fused

# Types that activations may have.
DTYPES = ('float32', 'bfloat16')
Weights = Mapping[str, tf.Tensor]
# Takes a tensor [B, ...] and the share to drop.
DropoutFunction = Callable[[tf.Tensor, float], tf.Tensor]

WORDS = 'bert/embeddings/word_embeddings'
# Added to the attention where the key is padding.
_PADDING = -10000.0


def encoder_shapes(config: config_lib.BertConfig) -> dict[str, tuple[int, ...]]:
  """Returns the shapes of the encoder's weights by name."""
  hidden, inner = config.hidden_size, config.intermediate_size
  embeddings = 'bert/embeddings'
  shapes = {
      WORDS: (config.vocab_size, hidden),
      f'{embeddings}/token_type_embeddings': (config.type_vocab_size, hidden),
      f'{embeddings}/position_embeddings': (
          config.max_position_embeddings, hidden),
      **_norm_shapes(embeddings, hidden)}
  for number in range(config.num_hidden_layers):
    layer = f'bert/encoder/layer_{number}'
    for name in ('query', 'key', 'value'):
      shapes |= _dense_shapes(f'{layer}/attention/self/{name}', hidden, hidden)
    shapes |= _dense_shapes(f'{layer}/attention/output/dense', hidden, hidden)
    shapes |= _norm_shapes(f'{layer}/attention/output', hidden)
    shapes |= _dense_shapes(f'{layer}/intermediate/dense', hidden, inner)
    shapes |= _dense_shapes(f'{layer}/output/dense', inner, hidden)
    shapes |= _norm_shapes(f'{layer}/output', hidden)
  return shapes | _dense_shapes('bert/pooler/dense', hidden, hidden)


def pretraining_shapes(config: config_lib.BertConfig
                       ) -> dict[str, tuple[int, ...]]:
  """Returns the shapes of encoder and pre-training heads by name."""
  hidden = config.hidden_size
  transform = 'cls/predictions/transform'
  return encoder_shapes(config) | {
      **_dense_shapes(f'{transform}/dense', hidden, hidden),
      **_norm_shapes(transform, hidden),
      'cls/predictions/output_bias': (config.vocab_size,),
      'cls/seq_relationship/output_weights': (2, hidden),
      'cls/seq_relationship/output_bias': (2,)}


def squad_shapes(config: config_lib.BertConfig) -> dict[str, tuple[int, ...]]:
  """Returns the shapes of encoder and span head by name."""
  return encoder_shapes(config) | {
      'cls/squad/output_weights': (2, config.hidden_size),
      'cls/squad/output_bias': (2,)}


def create_variables(shapes: Mapping[str, tuple[int, ...]], deviation: float,
                     seed: int) -> dict[str, tf.Variable]:
  """Creates the weights in the default graph.

  Matrices start from a normal distribution cut at two deviations, scales of
  norms at 1, biases at 0.

  Args:
    shapes: By name.
    deviation: Standard deviation of the start.
    seed: Of the start; each weight draws from a stream of its own.
  """
  variables = {}
  for number, (name, shape) in enumerate(shapes.items()):
    if name.endswith('/gamma'):
      start = tf.ones_initializer()
    elif name.endswith(('/beta', 'bias')):
      start = tf.zeros_initializer()
    else:
      start = _truncated_normal(deviation, (seed, number))
    variables[name] = tf.compat.v1.get_variable(
        name, shape, tf.float32, start, use_resource=True)
  return variables


def _truncated_normal(deviation, seed):
  def draw(shape, dtype=tf.float32, **keywords):
    del keywords
    return deviation * tf.random.stateless_truncated_normal(
        shape, seed, dtype=dtype)
  return draw


def encode(weights: Weights, config: config_lib.BertConfig,
           features: Mapping[str, tf.Tensor], dropout: DropoutFunction,
           dtype: tf.DType = tf.float32) -> tf.Tensor:
  """Runs the encoder.

  Args:
    weights: By name.
    config: Sizes.
    features: int32 [B, L] `input_ids`, `input_mask` (1 for a token, 0 for
      padding), `segment_ids`; of static shape.
    dropout: Takes a tensor and a share.
    dtype: Of the activations, float32 or bfloat16; the weights are rounded to
      it for each product, norms are computed in float32.

  Returns:
    The last layer's output, [B, L, H] of `dtype`.

  Raises:
    InputError: The sequence is longer than the position embeddings.
  """
  batch, length = features['input_ids'].shape.as_list()
  if length > config.max_position_embeddings:
    raise errors.InputError(
        f'sequence length: got {length}, expected at most '
        f'max_position_embeddings={config.max_position_embeddings}.')
  hidden = _embed(weights, config, features, dropout, dtype)
  # [B, 1, 1, L]: padding is attended to by nobody.
  mask = tf.cast(features['input_mask'], dtype)[:, None, None, :]
  mask = (1.0 - mask) * _PADDING
  for number in range(config.num_hidden_layers):
    hidden = _layer(weights, f'bert/encoder/layer_{number}', config, hidden,
                    mask, dropout)
  return tf.reshape(hidden, [batch, length, config.hidden_size])


def pool(weights: Weights, sequence: tf.Tensor) -> tf.Tensor:
  """Maps the first token's output, of `[CLS]`, to [B, H] in (-1, 1)."""
  return tf.tanh(_dense(weights, 'bert/pooler/dense', sequence[:, 0]))


def masked_lm_hidden(weights: Weights, config: config_lib.BertConfig,
                     sequence: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
  """Returns the masked positions as the vocabulary's layer takes them.

  Only they reach the vocabulary, which is the most expensive product of a
  small network.

  Args:
    weights: By name.
    config: Sizes.
    sequence: [B, L, H], from `encode`.
    positions: int32 [B, P].

  Returns:
    [B P, H]; logits are its product with the word embeddings, plus
    `cls/predictions/output_bias`.
  """
  batch, length, width = sequence.shape.as_list()
  offsets = tf.range(batch, dtype=tf.int32)[:, None] * length
  picked = tf.gather(tf.reshape(sequence, [batch * length, width]),
                     tf.reshape(positions + offsets, [-1]))
  transform = 'cls/predictions/transform'
  hidden = _activate(config, _dense(weights, f'{transform}/dense', picked))
  return _layer_norm(weights, transform, hidden)


def next_sentence_logits(weights: Weights, pooled: tf.Tensor) -> tf.Tensor:
  """Returns logits [B, 2]; class 1: the second segment is a random one."""
  return _project(weights, 'cls/seq_relationship', pooled)


def span_logits(weights: Weights, sequence: tf.Tensor) -> tf.Tensor:
  """Returns logits [2, B, L] of an answer's start and end."""
  batch, length, width = sequence.shape.as_list()
  logits = _project(weights, 'cls/squad',
                    tf.reshape(sequence, [batch * length, width]))
  return tf.transpose(tf.reshape(logits, [batch, length, 2]), [2, 0, 1])


def _dense_shapes(name, width_in, width_out):
  return {f'{name}/kernel': (width_in, width_out),
          f'{name}/bias': (width_out,)}


def _norm_shapes(name, width):
  return {f'{name}/LayerNorm/gamma': (width,),
          f'{name}/LayerNorm/beta': (width,)}


def _embed(weights, config, features, dropout, dtype):
  """Sums the three embeddings: [B L, H]."""
  batch, length = features['input_ids'].shape.as_list()
  scope = 'bert/embeddings'
  words = tf.gather(weights[WORDS], features['input_ids'])
  # Kinds are few: a product is cheaper than a gather and its gradient.
  kinds = tf.one_hot(features['segment_ids'], config.type_vocab_size)
  types = tf.reshape(tf.matmul(
      tf.reshape(kinds, [batch * length, config.type_vocab_size]),
      weights[f'{scope}/token_type_embeddings']), words.shape)
  hidden = words + types + weights[f'{scope}/position_embeddings'][:length]
  rows = [batch * length, config.hidden_size]
  hidden = _layer_norm(
      weights, scope, tf.reshape(tf.cast(hidden, dtype), rows))
  return tf.reshape(dropout(tf.reshape(hidden, words.shape),
                            config.hidden_dropout_prob), rows)


def _layer(weights, scope, config, hidden, mask, dropout):
  """One layer: attention, then feed-forward, each added to its input."""
  batch, length = mask.shape[0], mask.shape[3]

  def add(name, branch, residual):
    shape = [batch, length, config.hidden_size]
    branch = dropout(tf.reshape(branch, shape), config.hidden_dropout_prob)
    return _layer_norm(
        weights, name, tf.reshape(branch, residual.shape) + residual)

  context = _attend(weights, f'{scope}/attention/self', config, hidden, mask,
                    dropout)
  output = f'{scope}/attention/output'
  attended = add(output, _dense(weights, f'{output}/dense', context), hidden)
  inner = _activate(
      config, _dense(weights, f'{scope}/intermediate/dense', attended))
  output = f'{scope}/output'
  return add(output, _dense(weights, f'{output}/dense', inner), attended)


def _attend(weights, scope, config, hidden, mask, dropout):
  """Self-attention: [B L, H] to [B L, H]."""
  batch, length = mask.shape[0], mask.shape[3]
  heads, size = config.num_attention_heads, config.head_size

  def split(name):
    projected = _dense(weights, f'{scope}/{name}', hidden)
    return tf.transpose(
        tf.reshape(projected, [batch, length, heads, size]), [0, 2, 1, 3])

  query, key, value = split('query'), split('key'), split('value')
  scores = tf.matmul(query * (1.0 / math.sqrt(size)), key, transpose_b=True)
  shares = dropout(tf.nn.softmax(scores + mask),
                   config.attention_probs_dropout_prob)
  context = tf.transpose(tf.matmul(shares, value), [0, 2, 1, 3])
  return tf.reshape(context, [batch * length, heads * size])


def _dense(weights, name, tensor):
  kernel, bias = (tf.cast(weights[f'{name}/{part}'], tensor.dtype)
                  for part in ('kernel', 'bias'))
  return tf.nn.bias_add(tf.matmul(tensor, kernel), bias)


def _project(weights, name, tensor):
  """The small heads' layer, in float32; its matrix is stored transposed."""
  product = tf.matmul(
      tf.cast(tensor, tf.float32), weights[f'{name}/output_weights'],
      transpose_b=True)
  return tf.nn.bias_add(product, weights[f'{name}/output_bias'])


def _layer_norm(weights, name, tensor):
  return fused.layer_norm(tensor, weights[f'{name}/LayerNorm/gamma'],
                          weights[f'{name}/LayerNorm/beta'])


def _activate(config, tensor):
  return {'gelu': fused.gelu, 'relu': tf.nn.relu, 'tanh': tf.tanh,
          'linear': tf.identity}[config.hidden_act](tensor)
