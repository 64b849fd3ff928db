"""What Keras users expect of an optimizer, on whichever Keras is there."""

import contextlib
import warnings

import numpy as np
import pytest

import lamb
from lamb import keras_face
from lamb import schedules
from tests.lamb import reference

tf = pytest.importorskip('tensorflow')
keras = tf.keras

KERAS_3 = keras_face.is_keras3()


def _data():
  rng = np.random.default_rng(0)
  x = rng.standard_normal((32, 6)).astype(np.float32)
  return x, (x.sum(1) > 0).astype(np.int64)


def _model(optimizer, **compile_arguments):
  keras.utils.set_random_seed(3)
  model = keras.Sequential([
      keras.layers.Input((6,)),
      keras.layers.Dense(8, activation='tanh', name='first'),
      keras.layers.LayerNormalization(name='LayerNorm'),
      keras.layers.Dense(2, name='second', dtype='float32')])
  model.compile(
      optimizer,
      keras.losses.SparseCategoricalCrossentropy(from_logits=True),
      **compile_arguments)
  return model


def _fit(model, steps=4):
  x, y = _data()
  model.fit(x, y, batch_size=8, epochs=steps // 4, shuffle=False, verbose=0)
  return [np.array(w) for w in model.get_weights()]


def _assert_same(first, second, tolerance=0.0):
  assert len(first) == len(second)
  for a, b in zip(first, second):
    assert reference.error(a, b) <= tolerance


_ARGUMENTS = {
    'plain': {}, 'clipnorm': {'clipnorm': 0.1},
    'clipvalue': {'clipvalue': 0.01},
    'global_clipnorm': {'global_clipnorm': 1.0},
    'ema': {'use_ema': True, 'ema_overwrite_frequency': 3}}


# Keras' own arguments take one way through both optimizers.
@pytest.mark.parametrize('make, arguments', [
    pytest.param(make, arguments, id=f'{make.__name__}-{name}',
                 marks=[pytest.mark.slow] * (
                     make is lamb.LARS and bool(arguments)))
    for make in (lamb.LAMB, lamb.LARS)
    for name, arguments in _ARGUMENTS.items()])
def test_fit_changes_weights_and_config_round_trips(make, arguments):
  optimizer = make(0.01, exclude_from_weight_decay=['LayerNorm', 'bias'],
                   exclude_from_layer_adaptation=[], **arguments)
  before = _model('sgd').get_weights()
  after = _fit(_model(optimizer))
  assert all(np.abs(a - b).max() > 0 and np.isfinite(a).all()
             for a, b in zip(after, before))
  config = optimizer.get_config()
  assert make.from_config(config).get_config() == config
  assert config['exclude_from_layer_adaptation'] == []


@pytest.mark.slow
def test_compiled_by_xla_equals_not_compiled():
  plain = _fit(_model(lamb.LAMB(0.01), jit_compile=False))
  _assert_same(_fit(_model(lamb.LAMB(0.01), jit_compile=True)), plain, 1e-5)


@pytest.mark.slow
def test_eager_equals_graph():
  plain = _fit(_model(lamb.LAMB(0.01), jit_compile=False))
  _assert_same(_fit(_model(lamb.LAMB(0.01), run_eagerly=True)), plain, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('policy', ['mixed_float16', 'mixed_bfloat16'])
def test_mixed_precision_trains(policy):
  set_policy = (keras.config.set_dtype_policy if KERAS_3
                else keras.mixed_precision.set_global_policy)
  set_policy(policy)
  try:
    model = _model(lamb.LAMB(0.01))
    before = model.get_weights()
    after = _fit(model)
  finally:
    set_policy('float32')
  assert all(np.abs(a - b).max() > 0 and np.isfinite(a).all()
             for a, b in zip(after, before))
  scaled = type(model.optimizer).__name__.startswith('LossScaleOptimizer')
  assert scaled == (policy == 'mixed_float16')


@pytest.mark.skipif(not KERAS_3, reason='an argument of Keras 3')
def test_gradient_accumulation_equals_mean_gradient():
  plain, split = lamb.LAMB(0.1), lamb.LAMB(0.1, gradient_accumulation_steps=2)
  a, b = (tf.Variable([3.0, 4.0], name='w') for _ in range(2))
  for first, second in (([1.0, 2.0], [3.0, 6.0]), ([0.0, 1.0], [2.0, 0.0])):
    plain.apply_gradients([((tf.constant(first) + second) / 2, a)])
    split.apply_gradients([(tf.constant(first), b)])
    split.apply_gradients([(tf.constant(second), b)])
  np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


def _model_with_history():
  model = _model(lamb.LAMB(
      schedules.WarmupPolynomialDecay(0.05, 2, 20), nesterov='first',
      exclude_from_weight_decay=lamb.BERT_EXCLUSIONS))
  _fit(model)
  return model


def test_keras_file_continues_bit_for_bit(tmp_path):
  model = _model_with_history()
  model.save(tmp_path / 'model.keras')
  loaded = keras.models.load_model(tmp_path / 'model.keras')
  assert isinstance(loaded.optimizer, lamb.LAMB)
  assert loaded.optimizer.get_config() == model.optimizer.get_config()
  _assert_same(_fit(loaded), _fit(model))


@pytest.mark.skipif(KERAS_3, reason='Keras 3 writes no SavedModel to load')
def test_saved_model_folder_continues_bit_for_bit(tmp_path):
  model = _model_with_history()
  model.save(tmp_path / 'folder')
  loaded = keras.models.load_model(tmp_path / 'folder')
  assert loaded.optimizer.get_config() == model.optimizer.get_config()
  # Keras 2 restores no optimizer's slots by itself.
  loaded.optimizer.build(loaded.trainable_variables)
  tf.train.Checkpoint(optimizer=loaded.optimizer).read(
      str(tmp_path / 'folder' / 'variables' / 'variables')
  ).assert_existing_objects_matched()
  _assert_same(_fit(loaded), _fit(model))


def test_checkpoint_continues_bit_for_bit(tmp_path):
  def make():
    model = _model(lamb.LAMB(0.05))
    return model, tf.train.Checkpoint(model=model, optimizer=model.optimizer)

  model, checkpoint = make()
  _fit(model)
  path = checkpoint.write(str(tmp_path / 'checkpoint'))
  other, restored = make()
  _fit(other)  # builds the optimizer
  restored.read(path).assert_existing_objects_matched()
  _assert_same(_fit(other), _fit(model))


def test_weights_only_file_continues_bit_for_bit(tmp_path):
  model, other = _model(lamb.LAMB(0.05)), _model(lamb.LAMB(0.05))
  _fit(model)
  path = str(tmp_path / 'model.weights.h5')
  model.save_weights(path)
  state = [variable.numpy() for variable in (
      model.optimizer.variables() if callable(model.optimizer.variables)
      else model.optimizer.variables)]
  _fit(other)
  other.load_weights(path)
  variables = (other.optimizer.variables()
               if callable(other.optimizer.variables)
               else other.optimizer.variables)
  for variable, value in zip(variables, state):
    variable.assign(value)
  _assert_same(_fit(other), _fit(model))


def test_sparse_gradient_decays_all_rows_and_equals_dense():
  dense, sparse = (tf.Variable(np.ones((4, 2), np.float32), name='table')
                   for _ in range(2))
  gradient = np.zeros((4, 2), np.float32)
  gradient[1], gradient[3] = 4.0, 2.0
  slices = tf.IndexedSlices(
      tf.constant([[2.0, 2.0], [2.0, 2.0], [2.0, 2.0]]),
      tf.constant([1, 3, 1]), tf.constant([4, 2]))
  lamb.LAMB(0.1).apply_gradients([(tf.constant(gradient), dense)])
  lamb.LAMB(0.1).apply_gradients([(slices, sparse)])
  np.testing.assert_allclose(sparse.numpy(), dense.numpy(), rtol=1e-6)
  assert (sparse.numpy()[0] < 1).all()


def test_half_precision_variable_keeps_its_norm():
  # The squares of 300 overflow in float16; the ratio must not become 0 or inf.
  variable = tf.Variable(np.full(1000, 300, np.float16), name='w')
  lamb.LAMB(0.1, weight_decay=0.0).apply_gradients(
      [(tf.constant(np.ones(1000, np.float16)), variable)])
  np.testing.assert_allclose(variable.numpy(), 270, rtol=2e-3)


def test_non_finite_gradient_is_not_hidden():
  variable = tf.Variable([1.0, 2.0], name='w')
  lamb.LAMB(0.1).apply_gradients([(tf.constant([1.0, np.nan]), variable)])
  assert np.isnan(variable.numpy()).all()


@pytest.mark.slow
def test_two_replicas_equal_one_device():
  devices = tf.config.list_logical_devices('CPU')
  if len(devices) < 2:
    pytest.skip('needs two virtual CPUs, made by conftest.py')
  results = []
  for strategy in (contextlib.nullcontext(), tf.distribute.MirroredStrategy(
      [device.name for device in devices[:2]])):
    scope = strategy.scope() if hasattr(strategy, 'scope') else strategy
    with scope:
      model = _model(lamb.LAMB(0.01, exclude_from_weight_decay=['bias']))
    results.append(_fit(model))
  _assert_same(*results, 1e-5)


@pytest.mark.parametrize('arguments, excluded', [
    pytest.param({'var_names': ['kernel']}, ['first/kernel'], id='names'),
    pytest.param({'var_list': 0}, ['first/kernel'], id='variables'),
])
def test_method_excludes_beside_the_argument(arguments, excluded):
  kernel, bias, other = (tf.Variable([1.0], name=name)
                         for name in ('first/kernel', 'first/bias', 'other'))
  if 'var_list' in arguments:
    arguments = {'var_list': [kernel]}
  optimizer = lamb.LAMB(0.1, exclude_from_weight_decay=['bias'])
  optimizer.exclude_from_weight_decay(**arguments)
  optimizer.build([kernel, bias, other])
  assert [optimizer._flags_of(v) for v in (kernel, bias, other)] == [
      (False, False), (False, False), (True, True)]
  again = lamb.LAMB.from_config(optimizer.get_config())
  again.build([kernel, bias, other])
  assert again._flags_of(kernel) == (False, False)
  with pytest.raises(ValueError, match='before the optimizer is built'):
    optimizer.exclude_from_weight_decay(var_names=['other'])


def test_layer_name_is_part_of_the_path():
  model = _model(lamb.LAMB(0.01, exclude_from_weight_decay=['LayerNorm']))
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    model.optimizer.build(model.trainable_variables)
  flags = [model.optimizer._flags_of(v) for v in model.trainable_variables]
  assert [decays for decays, _ in flags] == [True, True, False, False,
                                             True, True]


def test_unmatched_pattern_warns_once_with_existing_names():
  optimizer = lamb.LAMB(exclude_from_weight_decay=['LayrNorm'])
  with pytest.warns(UserWarning, match="'LayrNorm' matches none.*some/w") as w:
    optimizer.build([tf.Variable(1.0, name='some/w')])
  assert len(w) == 1


def test_versions_of_the_paper():
  assert lamb.LAMB.v1(0.1).max_trust_ratio == 10
  assert not lamb.LAMB.v3(0.1, phi_max=2.0).bias_correction
  assert lamb.LAMB.v5().get_config()['bias_correction'] is True


def test_settings_can_be_changed_and_are_checked():
  optimizer = lamb.LAMB()
  optimizer.weight_decay = 0.5
  assert optimizer.get_config()['weight_decay'] == 0.5
  with pytest.raises(ValueError, match='beta_1=2'):
    optimizer.beta_1 = 2


def test_trust_ratio_logger_writes_exact_ratios(tmp_path):
  from lamb import trust_ratio_logging
  model = _model(lamb.LAMB(
      0.01, exclude_from_weight_decay=['bias'], nesterov='both'))
  kernel = model.trainable_variables[0].numpy()
  logger = trust_ratio_logging.TrustRatioLogger(str(tmp_path), every_steps=9)
  x, y = _data()
  model.fit(x[:8], y[:8], epochs=1, verbose=0, callbacks=[logger])
  assert any('bias' in path for path in logger.ratios) is False
  path = next(path for path in logger.ratios if 'first' in path)
  moved = np.linalg.norm(model.trainable_variables[0].numpy() - kernel)
  # The update's norm is lr ||w||, so that lr ratio ||r|| = lr ||w||.
  assert moved == pytest.approx(0.01 * np.linalg.norm(kernel), rel=1e-4)
  assert logger.ratios[path] > 0
  assert len(list(tmp_path.iterdir())) == 1


def test_large_variables_are_updated_one_after_the_other_and_exactly():
  rng = np.random.default_rng(0)
  shape, steps = (300, 300), 3
  starts = [rng.standard_normal(shape).astype(np.float32) for _ in range(3)]
  gradient = rng.standard_normal(shape).astype(np.float32)
  variables = [tf.Variable(start, name=f'w{i}')
               for i, start in enumerate(starts)]
  optimizer = lamb.LAMB(0.01)
  optimizer.build(variables)

  @tf.function
  def update():
    optimizer.apply_gradients(
        [(tf.constant(gradient), variable) for variable in variables])

  for _ in range(steps):
    update()
  for start, variable in zip(starts, variables):
    expected = reference.lamb(
        start, [gradient] * steps, float(np.float32(0.01)))[-1]
    assert reference.error(variable.numpy(), expected) < 1e-5
