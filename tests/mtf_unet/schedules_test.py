import pytest
import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import schedules


def _rates(steps, total=10, **keys):
  config = config_lib.OptimizerConfig(learning_rate=2.0, **keys)
  return [float(schedules.learning_rate(config, tf.constant(step, tf.int64),
                                        total)) for step in steps]


@pytest.mark.parametrize('keys, expected', [
    # 2 x 0.5^floor(step / 4)
    ({'schedule': 'staircase', 'decay_rate': 0.5, 'decay_steps': 4},
     {0: 2.0, 3: 2.0, 4: 1.0, 8: 0.5, 12: 0.25}),
    # 1 + (2 - 1) (1 + cos(pi step / 10)) / 2
    ({'schedule': 'cosine', 'end_learning_rate': 1.0},
     {0: 2.0, 5: 1.5, 10: 1.0, 15: 1.0}),
    # 2 (1 - step / 10)^2
    ({'schedule': 'polynomial', 'power': 2.0},
     {0: 2.0, 5: 0.5, 9: 0.02, 10: 0.0, 11: 0.0}),
    # Up by 2 / 4 a step, then the cosine over the six that are left.
    ({'schedule': 'cosine', 'warmup_steps': 4},
     {0: 0.5, 1: 1.0, 3: 2.0, 4: 2.0, 7: 1.0, 10: 0.0}),
    ({'schedule': 'polynomial', 'warmup_steps': 5},
     {0: 0.4, 4: 2.0, 5: 2.0, 6: 1.6, 10: 0.0}),
    # The staircase counts from step 0, with or without warmup.
    ({'schedule': 'staircase', 'warmup_steps': 2, 'decay_rate': 0.5,
      'decay_steps': 4}, {0: 1.0, 1: 2.0, 2: 2.0, 4: 1.0}),
], ids=['staircase', 'cosine', 'polynomial', 'cosine, warmup',
        'polynomial, warmup', 'staircase, warmup'])
def test_rates_are_those_worked_by_hand(keys, expected):
  assert _rates(expected, **keys) == pytest.approx(
      list(expected.values()), abs=1e-6)


def test_defaults_are_the_reference_s():
  config = config_lib.OptimizerConfig()
  rates = [float(schedules.learning_rate(config, tf.constant(step), 100000))
           for step in (0, 19999, 20000, 40000)]
  assert rates == pytest.approx([3e-3, 3e-3, 9e-4, 2.7e-4])


def test_warmup_longer_than_the_training_stays_finite():
  assert _rates([0, 9], schedule='cosine', warmup_steps=20) == pytest.approx(
      [0.1, 1.0])
