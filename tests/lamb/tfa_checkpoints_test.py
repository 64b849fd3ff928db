"""Checkpoints in the layout of TensorFlow Addons' LAMB."""

import numpy as np
import pytest

import lamb
from lamb import keras_face

tf = pytest.importorskip('tensorflow')
if keras_face.is_keras3():
  pytest.skip('TensorFlow Addons ran on Keras 2 only', allow_module_level=True)


def _write(folder, steps=3):
  """Writes what TFA's LAMB does: its base class, `m`, `v` and `iter`.

  Keras' own legacy Adam has the same base class and the same slots.
  """
  weights = tf.Variable([[3.0, 4.0], [1.0, 2.0]], name='w')
  optimizer = tf.keras.optimizers.legacy.Adam(0.05)
  for step in range(steps):
    gradient = tf.constant([[1.0, -2.0], [0.5, 0.1]]) * (step + 1)
    optimizer.apply_gradients([(gradient, weights)])
  checkpoint = tf.train.Checkpoint(weights=weights, optimizer=optimizer)
  path = checkpoint.write(f'{folder}/tfa')
  return path, [optimizer.get_slot(weights, slot).numpy() for slot in 'mv']


@pytest.mark.parametrize('build_first', [True, False],
                         ids=['built', 'not_built_yet'])
def test_tfa_checkpoint_restores_moments_step_and_rate(tmp_path, build_first):
  path, moments = _write(tmp_path)
  weights = tf.Variable(tf.zeros([2, 2]), name='w')
  optimizer = lamb.LAMB(0.001)
  if build_first:
    optimizer.build([weights])
  tf.train.Checkpoint(weights=weights, optimizer=optimizer).read(path)
  optimizer.build([weights])
  slots = optimizer._slots_of(weights)
  for slot, moment in zip(slots, moments):
    np.testing.assert_array_equal(slot.numpy(), moment)
  assert int(optimizer.iterations) == 3
  assert float(optimizer.learning_rate) == pytest.approx(0.05)
  optimizer.apply_gradients([(tf.ones([2, 2]), weights)])
  assert np.isfinite(weights.numpy()).all()


def test_tfa_checkpoint_leaves_a_schedule_alone(tmp_path):
  path, _ = _write(tmp_path)
  weights = tf.Variable(tf.zeros([2, 2]), name='w')
  optimizer = lamb.LAMB(tf.keras.optimizers.schedules.ExponentialDecay(
      0.1, 1, 0.5))
  optimizer.build([weights])
  tf.train.Checkpoint(weights=weights, optimizer=optimizer).read(path)
  optimizer.apply_gradients([(tf.ones([2, 2]), weights)])
  assert float(optimizer.learning_rate) == pytest.approx(0.1 * 0.5 ** 3)
