import math

import numpy as np
import pytest
import tensorflow as tf

from cnn_loopfilter import config as config_lib
from cnn_loopfilter import optimizers


def _rate(step, **settings):
  config = config_lib.OptimizerConfig(learning_rate=0.1, **settings)
  return float(optimizers.learning_rate(config, tf.constant(step), 110))


@pytest.mark.parametrize('step, expected', [
    (0, 0.01), (4, 0.05), (9, 0.1), (10, 0.1), (60, 0.05),
    (35, 0.05 * (1 + math.cos(math.pi / 4))), (110, 0.0)])
def test_cosine_after_warmup(step, expected):
  assert _rate(step, warmup_steps=10) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    'step, expected', [(0, 0.1), (55, 0.0325), (110, 0.01)])
def test_polynomial_falls_to_its_end(step, expected):
  assert _rate(step, schedule='polynomial', power=2.0, warmup_steps=0,
               end_learning_rate=0.01) == pytest.approx(expected)


def test_gradients_above_the_norm_are_scaled():
  gradients = [tf.constant([3.0]), tf.constant([[4.0]])]
  clipped, norm = optimizers.clip(gradients, 1.0)
  assert norm == 5.0
  np.testing.assert_allclose([float(g) for g in clipped], [0.6, 0.8])
  assert optimizers.clip(gradients, 0.0)[0] is gradients
