import numpy as np
import pytest

from tests.lamb import problems
from tests.lamb import reference

tf = pytest.importorskip('tensorflow')
if not hasattr(tf.compat.v1, 'estimator'):
  pytest.skip('TensorFlow 2.16 and later have no Estimator',
              allow_module_level=True)

from tensorflow.python.tpu.ops import tpu_ops  # noqa: E402

from lamb import errors  # noqa: E402
from lamb import estimator  # noqa: E402

v1 = tf.compat.v1


def _train(options, steps, folder=None, resource=True, cross_shard=False):
  """Runs graph-mode steps; returns the weights, and the names saved."""
  with tf.Graph().as_default():
    variables = {
        name: v1.get_variable(name, initializer=value, use_resource=resource)
        for name, value in problems.weights().items()}
    holders = {name: v1.placeholder(tf.float32, each.shape)
               for name, each in variables.items()}
    optimizer = estimator.LambOptimizer(
        0.01, exclude_from_weight_decay=problems.EXCLUSIONS, **options)
    if cross_shard:
      optimizer = v1.tpu.CrossShardOptimizer(optimizer)
    update = optimizer.apply_gradients(
        [(holders[name], variables[name]) for name in variables],
        v1.train.get_or_create_global_step())
    with v1.Session() as session:
      session.run(v1.global_variables_initializer())
      for gradients in problems.gradients(steps):
        session.run(update, {holders[name]: gradients[name]
                             for name in variables})
      if folder:
        v1.train.Saver().save(session, f'{folder}/model')
      return session.run(variables)


@pytest.mark.parametrize(
    'options', problems.LAMB_OPTIONS.values(), ids=problems.LAMB_OPTIONS)
def test_estimator_twenty_steps_are_within_1e_5(options):
  actual = _train(options, 20)
  expected = problems.expected(
      reference.lamb, 20, float(np.float32(0.01)), options)
  for name, value in expected.items():
    assert reference.error(actual[name], value) < 1e-5, name


@pytest.mark.parametrize('arguments', [
    pytest.param({'resource': False}, id='reference_variables'),
    pytest.param({'cross_shard': True}, id='cross_shard'),
])
def test_estimator_one_step_is_within_1e_6(arguments, monkeypatch):
  # The sum over replicas exists on TPUs only; over one it is the identity.
  monkeypatch.setattr(tpu_ops, 'cross_replica_sum', lambda x, *_: x)
  actual = _train({}, 1, **arguments)
  expected = problems.expected(reference.lamb, 1, float(np.float32(0.01)), {})
  for name, value in expected.items():
    assert reference.error(actual[name], value) < 1e-6, name


def test_slots_are_named_as_in_albert(tmp_path):
  _train({}, 1, folder=tmp_path)
  names = {name for name, _ in tf.train.list_variables(str(tmp_path))}
  assert names == {'global_step', *(
      name + slot for name in problems.VARIABLES
      for slot in ('', '/adam_m', '/adam_v'))}


def test_sparse_gradient_equals_dense_with_repeated_rows():
  results = []
  for sparse in (True, False):
    with tf.Graph().as_default(), v1.Session() as session:
      table = v1.get_variable('table', initializer=np.ones((4, 2), np.float32))
      rows = v1.gather(table, [1, 3, 1])
      if not sparse:
        rows = tf.one_hot([1, 3, 1], 4) @ table
      step = v1.train.get_or_create_global_step()
      update = estimator.LambOptimizer(0.1).minimize(
          tf.reduce_sum(rows ** 2), step)
      session.run(v1.global_variables_initializer())
      session.run(update)
      results.append(session.run(table))
  np.testing.assert_allclose(*results, rtol=1e-6)
  assert not np.allclose(results[0][0], 1)  # untouched rows are decayed


def test_bias_correction_without_global_step_is_refused():
  with tf.Graph().as_default():
    variable = v1.get_variable('w', initializer=1.0)
    with pytest.raises(errors.InputError, match='global_step=None'):
      estimator.LambOptimizer(0.1).minimize(variable ** 2)


def _model_fn(features, labels, mode, params):
  logits = v1.layers.dense(features, 1, name='dense')
  loss = tf.reduce_mean((logits - labels) ** 2)
  optimizer = estimator.LambOptimizer(
      0.1, exclude_from_weight_decay=['bias'])
  update = optimizer.minimize(loss, v1.train.get_or_create_global_step())
  hook = estimator.TrustRatioHook(optimizer, params['folder'], every_steps=1)
  return v1.estimator.tpu.TPUEstimatorSpec(
      mode, loss=loss, train_op=update, training_hooks=[hook])


@pytest.mark.slow
def test_tpu_estimator_trains_and_writes_trust_ratios(tmp_path):
  def input_fn(params):
    x = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    data = tf.data.Dataset.from_tensors((x, x.sum(1, keepdims=True)))
    return data.unbatch().repeat().batch(
        params['batch_size'], drop_remainder=True)

  folder = str(tmp_path / 'ratios')
  job = v1.estimator.tpu.TPUEstimator(
      _model_fn, model_dir=str(tmp_path / 'model'), use_tpu=False,
      train_batch_size=8, params={'folder': folder},
      config=v1.estimator.tpu.RunConfig())
  job.train(input_fn, max_steps=3)
  before = job.get_variable_value('dense/kernel')
  job.train(input_fn, max_steps=6)
  assert not np.allclose(before, job.get_variable_value('dense/kernel'))
  tags = {value.tag for file in (tmp_path / 'ratios').iterdir()
          for event in v1.train.summary_iterator(str(file))
          for value in event.summary.value}
  assert 'trust_ratio/dense/kernel' in tags
  assert 'trust_ratio/dense/bias' not in tags
