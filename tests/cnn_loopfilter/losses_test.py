import itertools

import numpy as np
import pytest
import tensorflow as tf

from cnn_loopfilter import losses


def test_distortion_is_half_the_summed_error_of_a_patch():
  rng = np.random.default_rng(0)
  a, b, c = rng.normal(size=[3, 5, 4, 4, 1])
  errors = losses.patch_error(*map(tf.constant, (a, b, c)))
  np.testing.assert_allclose(errors, ((a + b - c) ** 2).mean((1, 2, 3)))
  np.testing.assert_allclose(
      losses.distortion(errors, 16),
      0.5 * ((a + b - c) ** 2).sum() / 5)


def test_balanced_distortion_of_an_idle_filter_is_1():
  errors = tf.constant([4.0, 1.0])
  assert losses.distortion(errors, 16, tf.constant([4.0, 1.0])) == 1.0


@pytest.mark.parametrize('order, expected', [('l1', 6.0), ('l2', 14.0)])
def test_norm_sums_over_all_tensors(order, expected):
  tensors = [tf.constant([1.0, -2.0]), tf.constant([[3.0]])]
  assert losses.norm(tensors, order) == expected


def _spreads(values, upper):
  """Within and between class spread, from their definition."""
  total = values.mean()
  within = between = 0.0
  for part in (values[upper], values[~upper]):
    within += ((part - part.mean()) ** 2).sum()
    between += len(part) * (part.mean() - total) ** 2
  return within, between


def test_split_is_the_best_of_all():
  values = np.random.default_rng(1).random(9)
  found = losses.fisher_split(tf.constant(values)).numpy()
  best = max(
      (np.array(choice, bool) for choice in
       itertools.product([0, 1], repeat=9) if 0 < sum(choice) < 9),
      key=lambda upper: _spreads(values, upper)[1])
  # The two classes of a split have no order of their own.
  assert (found == best).all() or (found == ~best).all()
  assert values[found].min() > values[~found].max()


def test_lda_is_within_over_between_of_absolute_scales():
  scales = np.array([1.0, -0.9, 1.1, 0.05, -0.1])
  within, between = _spreads(np.abs(scales), np.abs(scales) > 0.5)
  np.testing.assert_allclose(
      losses.lda([tf.constant(scales)], epsilon=0.0), within / between)


def test_lda_of_equal_scales_is_0_with_a_finite_gradient():
  scales = tf.ones([8])
  with tf.GradientTape() as tape:
    tape.watch(scales)
    value = losses.lda([scales])
  assert value == 0
  assert np.isfinite(tape.gradient(value, scales)).all()


def test_lda_pulls_the_classes_apart():
  scales = tf.constant([1.0, 0.8, 0.1, 0.3])
  with tf.GradientTape() as tape:
    tape.watch(scales)
    value = losses.lda([scales])
  moved = scales - 0.01 * tape.gradient(value, scales)
  assert losses.lda([moved]) < value


def test_lda_of_no_layer_is_0():
  assert losses.lda([tf.ones([1])]) == 0
