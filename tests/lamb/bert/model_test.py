import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from lamb import errors
from lamb.bert import checkpoints
from lamb.bert import dropout
from lamb.bert import examples
from lamb.bert import model
from lamb.bert import pretraining_loss
from tests.lamb.bert import reference_model
from tests.lamb.bert import small

v1 = tf.compat.v1

# Written down from a published checkpoint's list of variables.
_LAYER_0 = {
    'attention/self/query/kernel': (8, 8), 'attention/self/query/bias': (8,),
    'attention/self/key/kernel': (8, 8), 'attention/self/key/bias': (8,),
    'attention/self/value/kernel': (8, 8), 'attention/self/value/bias': (8,),
    'attention/output/dense/kernel': (8, 8),
    'attention/output/dense/bias': (8,),
    'attention/output/LayerNorm/beta': (8,),
    'attention/output/LayerNorm/gamma': (8,),
    'intermediate/dense/kernel': (8, 12), 'intermediate/dense/bias': (12,),
    'output/dense/kernel': (12, 8), 'output/dense/bias': (8,),
    'output/LayerNorm/beta': (8,), 'output/LayerNorm/gamma': (8,)}
PUBLISHED = {
    'bert/embeddings/word_embeddings': (50, 8),
    'bert/embeddings/token_type_embeddings': (2, 8),
    'bert/embeddings/position_embeddings': (16, 8),
    'bert/embeddings/LayerNorm/beta': (8,),
    'bert/embeddings/LayerNorm/gamma': (8,),
    **{f'bert/encoder/layer_{i}/{name}': shape for i in range(2)
       for name, shape in _LAYER_0.items()},
    'bert/pooler/dense/kernel': (8, 8), 'bert/pooler/dense/bias': (8,),
    'cls/predictions/transform/dense/kernel': (8, 8),
    'cls/predictions/transform/dense/bias': (8,),
    'cls/predictions/transform/LayerNorm/beta': (8,),
    'cls/predictions/transform/LayerNorm/gamma': (8,),
    'cls/predictions/output_bias': (50,),
    'cls/seq_relationship/output_weights': (2, 8),
    'cls/seq_relationship/output_bias': (2,)}


def weights(seed=0, scale=0.3):
  """Returns random weights under the published names."""
  rng = np.random.default_rng(seed)
  return {name: scale * rng.standard_normal(shape).astype(np.float32)
          + name.endswith('gamma') for name, shape in PUBLISHED.items()}


def _constants(values):
  return {name: tf.constant(value, tf.float32 if value.dtype.kind == 'f'
                            else tf.int32) for name, value in values.items()}


def test_names_and_shapes_are_the_published():
  assert model.pretraining_shapes(small.CONFIG) == PUBLISHED


def test_losses_equal_float64_numpy():
  values, features = weights(), small.arrays(6)
  with tf.Graph().as_default(), v1.Session() as session:
    inputs = _constants(features)
    found = pretraining_loss.outcome(
        _constants(values), small.CONFIG, inputs, dropout.none)
    divisors = pretraining_loss.divisors(inputs, 6, cross_replica=False)
    actual = session.run(pretraining_loss.terms(found, inputs, divisors))
  expected = reference_model.losses(
      {name: value.astype(np.float64) for name, value in values.items()},
      2, 2, features)
  np.testing.assert_allclose(actual, expected, rtol=2e-6)


def test_padding_does_not_reach_the_tokens():
  features = small.arrays(4)
  changed = dict(features)
  changed['input_ids'] = np.where(
      features['input_mask'] == 1, features['input_ids'], 7)
  with tf.Graph().as_default(), v1.Session() as session:
    first, second = session.run([
        model.encode(_constants(weights()), small.CONFIG, _constants(each),
                     dropout.none) for each in (features, changed)])
  there = features['input_mask'] == 1
  np.testing.assert_array_equal(first[there], second[there])


def test_too_long_a_sequence_is_refused():
  config = dataclasses.replace(small.CONFIG, max_position_embeddings=12)
  with tf.Graph().as_default(), pytest.raises(
      errors.InputError, match='got 16, expected at most .*=12'):
    model.encode(_constants(weights()), config, _constants(small.arrays(1)),
                 dropout.none)


def test_published_checkpoint_round_trips(tmp_path):
  published = str(tmp_path / 'bert_model.ckpt')
  with tf.Graph().as_default(), v1.Session() as session:
    for name, value in weights().items():
      v1.get_variable(name, initializer=value)
    session.run(v1.global_variables_initializer())
    v1.train.Saver().save(session, published)
  with tf.Graph().as_default(), v1.Session() as session:
    variables = model.create_variables(
        model.pretraining_shapes(small.CONFIG), 0.02, seed=0)
    checkpoints.starter(published, PUBLISHED, print)()
    session.run(v1.global_variables_initializer())
    saved = checkpoints.save_weights(
        session, variables, str(tmp_path / 'ours.ckpt'))
  stored = dict(tf.train.list_variables(saved))
  assert {name: tuple(shape) for name, shape in stored.items()} == PUBLISHED
  for name, value in weights().items():
    np.testing.assert_array_equal(tf.train.load_variable(saved, name), value)


def test_weights_start_as_published():
  shapes = {'x/kernel': (300, 300), 'x/bias': (9,), 'x/LayerNorm/gamma': (9,),
            'x/LayerNorm/beta': (9,), 'y/kernel': (300, 300)}
  with tf.Graph().as_default(), v1.Session() as session:
    variables = model.create_variables(shapes, 0.02, seed=3)
    session.run(v1.global_variables_initializer())
    found = session.run(variables)
  kernel = found['x/kernel']
  assert np.abs(kernel).max() <= 0.04
  assert abs(kernel.std() / 0.02 - 0.88) < 0.01  # cut at two deviations
  assert not np.array_equal(kernel, found['y/kernel'])
  assert (found['x/bias'] == 0).all()
  assert (found['x/LayerNorm/gamma'] == 1).all()


def test_vocabulary_loss_equals_tensorflows_with_gradients():
  rng = np.random.default_rng(0)
  hidden, words, bias = (3 * rng.standard_normal(shape).astype(np.float32)
                         for shape in ((7, 8), (50, 8), (50,)))
  ids = rng.integers(0, 50, 7)
  factor = tf.constant(rng.random(7), tf.float32)
  with tf.Graph().as_default(), v1.Session() as session:
    results = []
    for ours in (True, False):
      inputs = [tf.constant(each) for each in (hidden, words, bias)]
      labels = tf.constant(ids, tf.int32)
      if ours:
        nll, correct = pretraining_loss._score_tokens(*inputs, labels)
      else:
        logits = tf.matmul(inputs[0], inputs[1], transpose_b=True) + inputs[2]
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        correct = tf.cast(tf.argmax(logits, 1) == ids, tf.float32)
      loss = tf.reduce_sum(nll * factor.numpy())
      results.append(session.run(
          [nll, correct, *tf.gradients(loss, inputs)]))
  for actual, expected in zip(*results):
    np.testing.assert_allclose(actual, expected, atol=2e-5)


def test_hopeless_token_has_a_finite_loss_and_its_whole_gradient():
  with tf.Graph().as_default(), v1.Session() as session:
    hidden = tf.constant([[1000.0]])
    nll, _ = pretraining_loss._score_tokens(
        hidden, tf.constant([[1.0], [-1.0]]), tf.zeros([2]), tf.constant([1]))
    loss, gradient = session.run([nll, tf.gradients(nll, hidden)[0]])
  np.testing.assert_allclose(loss, [87.3], atol=0.1)
  assert gradient.tolist() == [[2.0]]


def test_span_logits_are_start_and_end():
  with tf.Graph().as_default(), v1.Session() as session:
    sequence = tf.constant(np.arange(12, dtype=np.float32).reshape(1, 3, 4))
    logits = session.run(model.span_logits({
        'cls/squad/output_weights': tf.constant(
            [[1.0, 0, 0, 0], [0, 0, 0, 1.0]]),
        'cls/squad/output_bias': tf.constant([0.5, 0.0])}, sequence))
  np.testing.assert_allclose(logits[0], [[0.5, 4.5, 8.5]])
  np.testing.assert_allclose(logits[1], [[3.0, 7.0, 11.0]])


def test_padded_examples_do_not_count_in_the_evaluation():
  features = small.arrays(4)
  features['example_weights'] = np.array([1, 1, 1, 0], np.float32)
  first = {name: value[:3] for name, value in features.items()}
  results = []
  for each in (features, first):
    with tf.Graph().as_default(), v1.Session() as session:
      inputs = _constants(each)
      found = pretraining_loss.outcome(
          _constants(weights()), small.CONFIG, inputs, dropout.none)
      metrics = pretraining_loss.metrics(
          **pretraining_loss.evaluation_tensors(found, inputs))
      session.run(v1.local_variables_initializer())
      session.run([update for _, update in metrics.values()])
      results.append(session.run(
          {name: value for name, (value, _) in metrics.items()}))
  assert set(results[0]) == {'masked_lm_accuracy', 'masked_lm_loss',
                             'next_sentence_accuracy', 'next_sentence_loss'}
  for name, value in results[1].items():
    assert abs(results[0][name] - value) < 1e-6
  expected = reference_model.losses(
      {name: value.astype(np.float64) for name, value in weights().items()},
      2, 2, first)
  total = first[examples.WEIGHTS].sum()
  assert abs(results[1]['masked_lm_loss']
             - expected[0] * (total + 1e-5) / total) < 1e-5
  assert abs(results[1]['next_sentence_loss'] - expected[1]) < 1e-5
