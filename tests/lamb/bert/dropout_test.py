import numpy as np
import pytest
import tensorflow as tf

from lamb.bert import dropout

v1 = tf.compat.v1


def _masks(shape, *, share=0.1, seed=1, step=2, first=0, calls=1):
  with tf.Graph().as_default(), v1.Session() as session:
    drop = dropout.Dropout(seed, tf.constant(step, tf.int64),
                           tf.constant(first))
    return session.run([drop(tf.ones(shape), share) for _ in range(calls)])


def test_share_is_dropped_and_the_rest_scaled_up():
  (mask,) = _masks([64, 100, 100])
  assert abs((mask == 0).mean() - 0.1) < 0.002
  assert abs(mask.mean() - 1) < 0.002
  assert len(np.unique(mask)) == 2


@pytest.mark.parametrize('shape', [[3, 5], [2, 7, 3], [16, 8]])
def test_example_has_its_mask_in_any_batch(shape):
  (whole,) = _masks([8, *shape], share=0.5)
  (part,) = _masks([3, *shape], share=0.5, first=4)
  np.testing.assert_array_equal(part, whole[4:7])


@pytest.mark.parametrize('options', [{'seed': 3}, {'step': 3}])
def test_seed_and_step_change_the_mask(options):
  (first,), (second,) = _masks([4, 64]), _masks([4, 64], **options)
  assert not np.array_equal(first, second)
  np.testing.assert_array_equal(first, _masks([4, 64])[0])


def test_each_place_has_a_mask_of_its_own():
  first, second = _masks([4, 64], calls=2)
  assert not np.array_equal(first, second)


def test_examples_have_different_masks():
  (mask,) = _masks([2, 256], share=0.5)
  assert 0.3 < (mask[0] == mask[1]).mean() < 0.7


def test_nothing_is_dropped_without_a_share():
  (mask,) = _masks([4, 4], share=0.0)
  assert (mask == 1).all()
