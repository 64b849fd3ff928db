"""The Keras optimizers against the reference, on whichever Keras is there."""

import numpy as np
import pytest

import lamb
from tests.lamb import problems
from tests.lamb import reference

tf = pytest.importorskip('tensorflow')

LEARNING_RATE = 0.01


def _train(optimizer, steps, dtype=np.float32, compiled=True):
  variables = {name: tf.Variable(value, name=name)
               for name, value in problems.weights(dtype).items()}

  def update(gradients):
    optimizer.apply_gradients(
        [(gradients[name], variables[name]) for name in variables])

  optimizer.build(list(variables.values()))
  update = tf.function(update) if compiled else update
  for gradients in problems.gradients(steps, dtype):
    update({name: tf.constant(g) for name, g in gradients.items()})
  return {name: value.numpy() for name, value in variables.items()}


def _check(optimizer, rule, options, steps, bound, **arguments):
  dtype = arguments.get('dtype', np.float32)
  learning_rate = float(dtype(LEARNING_RATE))
  actual = _train(optimizer, steps, **arguments)
  expected = problems.expected(rule, steps, learning_rate, options, dtype)
  for name, value in expected.items():
    assert reference.error(actual[name], value) < bound, name


@pytest.fixture
def float64():
  tf.keras.backend.set_floatx('float64')
  yield
  tf.keras.backend.set_floatx('float32')


lamb_options = pytest.mark.parametrize(
    'options', problems.LAMB_OPTIONS.values(), ids=problems.LAMB_OPTIONS)
lars_options = pytest.mark.parametrize(
    'options', problems.LARS_OPTIONS.values(), ids=problems.LARS_OPTIONS)


@lamb_options
def test_lamb_one_step_is_within_1e_6(options):
  optimizer = lamb.LAMB(
      LEARNING_RATE, exclude_from_weight_decay=problems.EXCLUSIONS, **options)
  _check(optimizer, reference.lamb, options, 1, 1e-6, compiled=False)


@lamb_options
def test_lamb_twenty_steps_are_within_1e_5(options):
  optimizer = lamb.LAMB(
      LEARNING_RATE, exclude_from_weight_decay=problems.EXCLUSIONS, **options)
  _check(optimizer, reference.lamb, options, 20, 1e-5)


@lamb_options
def test_lamb_in_float64_is_within_1e_12(options, float64):
  optimizer = lamb.LAMB(
      LEARNING_RATE, exclude_from_weight_decay=problems.EXCLUSIONS, **options)
  _check(optimizer, reference.lamb, options, 20, 1e-12, dtype=np.float64)


@lars_options
def test_lars_twenty_steps_are_within_1e_5(options):
  optimizer = lamb.LARS(
      LEARNING_RATE, exclude_from_weight_decay=problems.EXCLUSIONS, **options)
  _check(optimizer, reference.lars, options, 20, 1e-5)


@lars_options
def test_lars_in_float64_is_within_1e_12(options, float64):
  optimizer = lamb.LARS(
      LEARNING_RATE, exclude_from_weight_decay=problems.EXCLUSIONS, **options)
  _check(optimizer, reference.lars, options, 20, 1e-12, dtype=np.float64)
