"""BERT's forward pass in float64 NumPy, one example at a time.

Nothing is imported from `lamb`, so that a mistake there cannot hide here.
"""

import math

import numpy as np


def gelu(x):
  return 0.5 * x * (1 + np.tanh(
      math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def softmax(x):
  e = np.exp(x - x.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def dense(weights, name, x):
  return x @ weights[f'{name}/kernel'] + weights[f'{name}/bias']


def norm(weights, name, x):
  centred = x - x.mean(-1, keepdims=True)
  scale = np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-12)
  return (centred / scale * weights[f'{name}/LayerNorm/gamma']
          + weights[f'{name}/LayerNorm/beta'])


def encode(weights, layers, heads, ids, mask, segments):
  """Returns the last layer's output, [tokens, width]."""
  scope = 'bert/embeddings'
  x = (weights[f'{scope}/word_embeddings'][ids]
       + weights[f'{scope}/token_type_embeddings'][segments]
       + weights[f'{scope}/position_embeddings'][:len(ids)])
  x = norm(weights, scope, x)
  for i in range(layers):
    layer = f'bert/encoder/layer_{i}'
    parts = []
    q, k, v = (dense(weights, f'{layer}/attention/self/{name}', x)
               for name in ('query', 'key', 'value'))
    size = x.shape[1] // heads
    for h in range(heads):
      own = slice(h * size, (h + 1) * size)
      scores = q[:, own] @ k[:, own].T / math.sqrt(size)
      scores = scores + (1 - mask[None, :]) * -10000.0
      parts.append(softmax(scores) @ v[:, own])
    output = f'{layer}/attention/output'
    x = norm(weights, output, dense(
        weights, f'{output}/dense', np.concatenate(parts, 1)) + x)
    inner = gelu(dense(weights, f'{layer}/intermediate/dense', x))
    output = f'{layer}/output'
    x = norm(weights, output, dense(weights, f'{output}/dense', inner) + x)
  return x


def losses(weights, layers, heads, features):
  """Returns masked-LM and next-sentence loss of a batch."""
  nll, total, sentence = 0.0, 0.0, []
  for row in range(len(features['input_ids'])):
    x = encode(weights, layers, heads, features['input_ids'][row],
               features['input_mask'][row], features['segment_ids'][row])
    picked = x[features['masked_lm_positions'][row]]
    scope = 'cls/predictions/transform'
    picked = norm(weights, scope, gelu(dense(
        weights, f'{scope}/dense', picked)))
    shares = softmax(picked @ weights['bert/embeddings/word_embeddings'].T
                     + weights['cls/predictions/output_bias'])
    for share, label, weight in zip(
        shares, features['masked_lm_ids'][row],
        features['masked_lm_weights'][row]):
      nll -= weight * math.log(share[label])
      total += weight
    pooled = np.tanh(dense(weights, 'bert/pooler/dense', x[0]))
    scope = 'cls/seq_relationship'
    shares = softmax(weights[f'{scope}/output_weights'] @ pooled
                     + weights[f'{scope}/output_bias'])
    sentence.append(-math.log(shares[features['next_sentence_labels'][row][0]]))
  return nll / (total + 1e-5), np.mean(sentence)
