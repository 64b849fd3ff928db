import numpy as np
import pytest
import tensorflow as tf

from lamb.images import classifier
from tests.lamb.images import pictures

v1 = tf.compat.v1


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_loss_is_cross_entropy_with_smoothed_labels(smoothing):
  logits = np.array([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]])
  found = classifier.smoothed_loss(
      tf.constant([1, 0]), tf.constant(logits, tf.float32), smoothing)
  log = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  target = (1 - smoothing) * np.eye(3)[[1, 0]] + smoothing / 3
  np.testing.assert_allclose(found, -(target * log).sum(-1), rtol=1e-5)


def test_a_step_moves_weights_and_the_norms_averages():
  config = pictures.job_config(steps=4)
  rng = np.random.default_rng(0)
  with tf.Graph().as_default(), v1.Session() as session:
    features = {'image': tf.constant(rng.normal(1, 1, (4, 16, 16, 3)), 'float'),
                'label': tf.constant([0, 1, 2, 3])}
    spec = classifier.training_spec(config, features)
    variables = v1.global_variables()
    kernel, mean = (next(v for v in variables if name in v.name)
                    for name in ('conv2d/kernel', '/moving_mean'))
    session.run(v1.global_variables_initializer())
    before = session.run([kernel, mean])
    for _ in range(2):
      session.run(spec.train_op)
    after = session.run([kernel, mean])
  assert all(np.abs(new - old).max() > 1e-3
             for new, old in zip(after, before))


def test_filling_does_not_count():
  with tf.Graph().as_default(), v1.Session() as session:
    logits = tf.one_hot([3, 3, 0], 10) * 9
    metrics = classifier._metrics(
        tf.constant([3, 3, 0]), logits, tf.constant([1.0, 3.0, 99.0]),
        tf.constant([1.0, 1.0, 0.0]))
    session.run(v1.local_variables_initializer())
    session.run([update for _, update in metrics.values()])
    found = session.run({name: value for name, (value, _) in metrics.items()})
  assert found == {'top_1_accuracy': 1.0, 'top_5_accuracy': 1.0,
                   'cross_entropy': 2.0}
