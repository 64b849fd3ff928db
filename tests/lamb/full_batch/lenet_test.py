import numpy as np
import pytest
import tensorflow as tf

from lamb import errors
from lamb.full_batch import lenet

_IMAGES = np.random.default_rng(0).random((6, 8, 8, 1), np.float32)


def test_bfloat16_activations_are_near_those_of_float32():
  exact = lenet.LeNet(size=8)(_IMAGES)
  model = lenet.LeNet(size=8, activation_dtype='bfloat16')
  rounded = model(_IMAGES)
  assert rounded.dtype == tf.float32
  assert all(variable.dtype == tf.float32
             for variable in model.variables_in_order)
  difference = np.abs(exact - rounded).max() / np.abs(exact).max()
  assert 0 < difference < 0.02


def test_the_same_seed_gives_the_same_weights_and_dropout():
  first, second, other = (lenet.LeNet(size=8, seed=seed) for seed in (1, 1, 2))
  outputs = [np.array(model(_IMAGES, 0.4, (3, 4)))
             for model in (first, second, other)]
  np.testing.assert_array_equal(outputs[0], outputs[1])
  assert np.any(outputs[0] != outputs[2])
  assert np.any(outputs[0] != first(_IMAGES, 0.4, (3, 5)))


def test_another_type_of_activations_is_refused():
  with pytest.raises(errors.InputError, match="activation_dtype: got 'half'"):
    lenet.LeNet(activation_dtype='half')
