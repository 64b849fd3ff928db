"""Batch and instance norm over the mesh against plain TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import dropout as dropout_lib
from mtf_unet import normalization
from tests.mtf_unet import lowered

# Means far from 0 and spreads that differ by channel, sample and place.
_X = np.random.RandomState(3).randn(2, 8, 12, 4, 3).astype(np.float32)
_X = (_X * np.array([0.5, 1, 3]) + np.array([-2, 0, 4])).astype(np.float32)
_X[1] *= 2
_X[:, :4] += 1
_EPSILON = 1e-3
_ALL_MESHES = {**lowered.MESHES, **lowered.MORE_MESHES}


def _settings(kind, *, training=True, slope=1.0, updates=None):
  return normalization.Normalization(
      kind, training, 0.9, _EPSILON, slope,
      (updates if updates is not None else []).append)


def _reduced(kind, rank):
  return list(range(0 if kind == 'batch' else 1, rank - 1))


def _plain(kind, slope, factor=1.0):
  def function(x, gamma, beta):
    mean, variance = tf.nn.moments(x, _reduced(kind, x.shape.rank),
                                   keepdims=True)
    y = (x - mean) * tf.math.rsqrt(variance + _EPSILON) * gamma + beta
    return tf.where(y > 0, y, slope * y) * factor
  return function


def _check(x, mesh, kind, slope):
  came = lowered.run_layer(
      lambda t: normalization.normalize(t, _settings(kind, slope=slope)), x,
      mesh)
  lowered.assert_equal(came, lowered.plain(_plain(kind, slope), x, came))


@pytest.mark.parametrize('mesh', _ALL_MESHES.values(), ids=_ALL_MESHES.keys())
@pytest.mark.parametrize('kind', ['batch', 'instance'])
def test_norm_and_activation_equal_plain_arithmetic(kind, mesh):
  _check(_X, mesh, kind, 0.1)


@pytest.mark.parametrize('kind', ['batch', 'instance'])
def test_norm_without_activation_equals_plain_arithmetic(kind):
  _check(_X, lowered.MESHES['2x2x1'], kind, 1.0)


@pytest.mark.parametrize('kind', ['batch', 'instance'])
def test_norm_in_two_dimensions_equals_plain_arithmetic(kind):
  _check(_X[:, :, :, 0], lowered.MESHES_2D['4x2'], kind, 0.1)


@pytest.mark.parametrize('kind', ['batch', 'instance'])
def test_dropout_masks_output_and_gradient_alike(kind):
  def layer(t):
    drop = dropout_lib.Dropout(0.5, 0, tf.constant(3, tf.int64))
    return normalization.normalize(t, _settings(kind, slope=0.1), drop)
  came = lowered.run_layer(layer, _X, lowered.MESHES['2x2x1'])
  # Nothing but the mask makes a zero, with weights drawn at random.
  kept = (came.y != 0).astype(np.float32)
  assert 0.45 < kept.mean() < 0.55
  lowered.assert_equal(came, lowered.plain(
      _plain(kind, 0.1, 2.0 * kept), _X, came))


def _train(updates_count, x=_X, mesh='2x2x1'):
  """Returns the moving averages before and after some updates."""
  with lowered.bench(lowered.MESHES[mesh]) as b:
    updates = []
    normalization.normalize(b.activation(x), _settings('batch',
                                                       updates=updates))
    lowering = b.lower()
    operations = [lowering.lowered_operation(update) for update in updates]
    masters = {v.name: v.get_master() for v in b.graph.all_variables}
    with b.session(lowering) as session:
      before = session.run(masters)
      for _ in range(updates_count):
        session.run(operations)
      session.run(lowering.copy_slices_to_masters())
      return before, session.run(masters)


def test_fault_3_moving_averages_start_at_zero_and_one():
  before, _ = _train(0)
  np.testing.assert_array_equal(before['moving_mean'], np.zeros(3))
  np.testing.assert_array_equal(before['moving_variance'], np.ones(3))


def test_moving_averages_follow_the_whole_batch_with_biased_variance():
  _, after = _train(2)
  axes = (0, 1, 2, 3)
  mean, variance = _X.mean(axes), _X.var(axes)
  # Two updates by 0.9: 1 - 0.81 = 0.19 of the way.
  np.testing.assert_allclose(after['moving_mean'], 0.19 * mean, rtol=1e-4,
                             atol=1e-5)
  np.testing.assert_allclose(after['moving_variance'],
                             0.81 + 0.19 * variance, rtol=1e-4)


def test_instance_norm_keeps_no_moving_averages():
  with lowered.bench(lowered.MESHES['1x1x1']) as b:
    normalization.normalize(b.activation(_X), _settings('instance'))
    assert [v.name for v in b.graph.all_variables] == ['gamma', 'beta']


def test_prediction_uses_moving_averages_and_holds_them():
  def plain(x, gamma, beta):
    # The averages are at their start: mean 0, variance 1.
    y = x * tf.math.rsqrt(1.0 + _EPSILON) * gamma + beta
    return tf.where(y > 0, y, 0.1 * y)
  came = lowered.run_layer(
      lambda t: normalization.normalize(
          t, _settings('batch', training=False, slope=0.1)), _X,
      lowered.MESHES['2x2x1'])
  lowered.assert_equal(came, lowered.plain(plain, _X, came))


@pytest.mark.parametrize('kind', ['batch', 'instance'])
def test_fault_2_statistics_of_bfloat16_are_float32(kind):
  # 20 +- 1: bfloat16 holds 20 to within 0.06 and cannot hold its square's
  # sum at all.
  x = tf.cast(20 + np.random.RandomState(4).randn(2, 16, 16, 8, 3),
              tf.bfloat16)
  x = tf.cast(x, tf.float32).numpy()
  came = lowered.run_layer(
      lambda t: normalization.normalize(t, _settings(kind)), x,
      lowered.MESHES['2x2x1'], dtype=tf.bfloat16)
  expected = lowered.plain(_plain(kind, 1.0), x, came)
  np.testing.assert_allclose(came.y, expected.y, rtol=2e-2, atol=2e-2)


def test_fault_2_moving_averages_of_bfloat16_are_float32():
  with lowered.bench(lowered.MESHES['2x2x1']) as b:
    normalization.normalize(b.activation(_X, tf.bfloat16),
                            _settings('batch'))
    for variable in b.graph.all_variables:
      assert variable.get_master().dtype.base_dtype == tf.float32
      assert variable.slice_dtype == tf.float32


def test_large_mean_does_not_cancel_the_variance():
  x = (1000 + np.random.RandomState(5).randn(2, 8, 8, 4, 3)).astype(
      np.float32)
  _, after = _train(1, x)
  variance = x.astype(np.float64).var((0, 1, 2, 3))
  np.testing.assert_allclose(after['moving_variance'], 0.9 + 0.1 * variance,
                             rtol=1e-4)
