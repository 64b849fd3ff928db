"""Dropout masks: repeatable, and different wherever they must be."""

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import blocks
from mtf_unet import dropout as dropout_lib
from tests.mtf_unet import lowered

_ONES = np.ones((2, 8, 12, 4, 3), np.float32)
_MESHES = {**lowered.MESHES, **lowered.MORE_MESHES}
_DIMS = ('batch', 'x', 'y', 'z')


def _dropped(*, keep=0.5, seed=0, step=0, mesh='2x2x1', layers=1, x=_ONES):
  """Drops ones; returns what each layer gives, [batch, ..] in full."""
  with lowered.bench(_MESHES[mesh]) as b:
    images = b.activation(x)
    how = dropout_lib.Dropout(keep, seed, tf.constant(step, tf.int64))
    outputs = [dropout_lib.dropout(images, how) for _ in range(layers)]
    lowering = b.lower()
    with b.session(lowering) as session:
      return session.run([lowering.export_to_tf_tensor(t) for t in outputs])


def _differ(a, b):
  """Whether two masks of a half disagree in about half of the places."""
  return 0.4 < np.mean((a != 0) != (b != 0)) < 0.6


@pytest.fixture(scope='module', name='reference')
def _reference():
  return _dropped()[0]


def test_same_seed_step_and_layer_draw_the_same_mask(reference):
  np.testing.assert_array_equal(_dropped()[0], reference)


@pytest.mark.parametrize('change', [{'seed': 1}, {'step': 1}],
                         ids=['seed', 'step'])
def test_another_seed_or_step_draws_another_mask(reference, change):
  assert _differ(_dropped(**change)[0], reference)


def test_every_layer_draws_its_own_mask():
  first, second = _dropped(layers=2)
  assert _differ(first, second)


@pytest.mark.parametrize('mesh', [
    '2x2x1', '2x2x2', '4x2x1', 'batch 2 and 2x1x1'])
def test_blocks_do_not_repeat_a_mask(mesh):
  y = _dropped(mesh=mesh)[0]
  with lowered.bench(_MESHES[mesh]) as b:
    places = blocks.places(b.partition, _DIMS, _ONES.shape[:-1])
  parts = [y[place] for place in places]
  for i, part in enumerate(parts):
    assert all(_differ(part, other) for other in parts[:i])


@pytest.mark.parametrize('keep', [0.25, 0.5, 0.7, 0.9, 1e-3])
def test_keep_probability_and_mean_are_as_asked(keep):
  ones = np.ones((2, 32, 32, 32, 3), np.float32)
  y = _dropped(keep=keep, x=ones)[0]
  tolerance = 5 * np.sqrt(keep * (1 - keep) / ones.size)
  assert abs(np.mean(y != 0) - keep) < tolerance
  assert abs(y.mean() - 1) < tolerance / keep


@pytest.mark.parametrize('keep', [0.25, 0.5, 0.7, 0.9, 1e-3])
def test_scale_makes_up_exactly_for_the_threshold_drawn(keep):
  how = dropout_lib.Dropout(keep, 0, None)
  dtype, threshold = how.threshold()
  drawn = threshold / 2 ** (8 * dtype.size)
  np.testing.assert_allclose(drawn * how.scale, 1, rtol=1e-12)
  np.testing.assert_allclose(drawn, keep, atol=1e-5)


@pytest.mark.parametrize('keep', [0.5, 0.7])
def test_gradient_uses_the_mask_of_the_output(keep):
  def layer(x):
    return dropout_lib.dropout(
        x, dropout_lib.Dropout(keep, 0, tf.constant(0, tf.int64)))
  came = lowered.run_layer(layer, _ONES, lowered.MESHES['2x2x1'])
  # The input is ones, so the output is the scaled mask itself.
  np.testing.assert_allclose(came.dx, came.y * came.dy, rtol=1e-6)


def test_keep_of_one_adds_no_operation():
  with lowered.bench(lowered.MESHES['1x1x1']) as b:
    images = b.activation(_ONES)
    assert dropout_lib.dropout(
        images, dropout_lib.Dropout(1.0, 0, None)) is images
