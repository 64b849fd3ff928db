import numpy as np
import pytest

from lamb import errors
from lamb import schedules

# lamb.md's table: batch, learning rate, warmup ratio, steps.
_BERT_TABLE = [
    (512, 6.25e-4, 1 / 320, 1_000_000),
    (1024, 8.84e-4, 1 / 160, 500_000),
    (2048, 1.25e-3, 1 / 80, 250_000),
    (4096, 1.768e-3, 1 / 40, 125_000),
    (8192, 2.5e-3, 1 / 20, 62_500),
    (16384, 3.536e-3, 1 / 10, 31_250),
    (32768, 5e-3, 1 / 5, 15_625),
]


def test_bert_recipe_prints_the_papers_table():
  print('\n| batch | learning rate | warmup ratio | steps |')
  for batch, rate, ratio, steps in _BERT_TABLE:
    recipe = schedules.bert_recipe(batch)
    print(f'| {batch} | {recipe.learning_rate:.4g} | '
          f'1/{1 / recipe.warmup_ratio:g} | {recipe.total_steps} |')
    assert recipe.learning_rate == pytest.approx(rate, rel=5e-4)
    assert recipe.warmup_ratio == pytest.approx(ratio)
    assert recipe.total_steps == steps
    assert recipe.warmup_steps == 3125


def test_imagenet_recipe_at_32k():
  recipe = schedules.imagenet_recipe(32768)
  assert recipe.learning_rate == 0.04
  assert (recipe.warmup_steps, recipe.weight_decay) == (782, 1.5)
  assert recipe.label_smoothing == 0.1
  assert schedules.imagenet_recipe(8192).learning_rate == pytest.approx(0.02)


def test_mixed_batch_recipe_warms_up_again():
  first, second = schedules.mixed_batch_recipe()
  assert first.total_steps + second.total_steps == 8599
  rates = schedules.mixed_batch_decay(np.arange(8600.0))
  assert rates[0] == 0 and rates[7038] == 0 and rates[8599] == 0
  assert rates[7039] == pytest.approx(second.learning_rate / 200)
  assert rates[1999] == pytest.approx(first.learning_rate, rel=1e-3)


@pytest.mark.parametrize('form, after_warmup', [
    pytest.param('bert', 0.8, id='bert_jumps'),
    pytest.param('triangle', 1.0, id='triangle_is_continuous'),
])
def test_decay_starts_where_warmup_ends(form, after_warmup):
  rate = schedules.warmup_polynomial_decay(
      np.array([0.0, 1.0, 2.0, 10.0, 11.0]), 1.0, 2, 10, form=form)
  np.testing.assert_allclose(rate, [0, 0.5, after_warmup, 0, 0])


def test_power_bends_the_decay():
  assert schedules.warmup_polynomial_decay(
      3.0, 1.0, 0, 4, power=0.5) == pytest.approx(0.5)


@pytest.mark.parametrize('change, message', [
    ({'warmup_steps': 11}, 'warmup_steps=11'),
    ({'total_steps': 0, 'warmup_steps': 0}, 'total_steps=0'),
    ({'power': 0}, 'power=0'),
    ({'form': 'linear'}, 'form=.linear.: expected one of bert, triangle'),
    ({'learning_rate': -1}, 'learning_rate=-1'),
])
def test_bad_arguments_are_named(change, message):
  arguments = {'learning_rate': 1.0, 'warmup_steps': 2, 'total_steps': 10}
  with pytest.raises(errors.InputError, match=message):
    schedules.warmup_polynomial_decay(1.0, **{**arguments, **change})


@pytest.mark.parametrize('batch', [0, -1, 0.5, 1 << 30])
def test_recipe_refuses_impossible_batches(batch):
  with pytest.raises(errors.InputError, match='batch_size='):
    schedules.bert_recipe(batch)


def test_keras_schedule_equals_plain_function_and_round_trips():
  pytest.importorskip('tensorflow')
  schedule = schedules.WarmupPolynomialDecay(
      0.1, 3, 9, power=2.0, form='triangle', first_step=1)
  again = type(schedule).from_config(schedule.get_config())
  for step in range(10):
    expected = schedules.warmup_polynomial_decay(
        step + 1.0, 0.1, 3, 9, 2.0, 'triangle')
    assert float(schedule(step)) == pytest.approx(expected, rel=1e-6)
    assert float(again(step)) == float(schedule(step))


def test_recipe_makes_its_schedule():
  pytest.importorskip('tensorflow')
  schedule = schedules.bert_recipe(32768).schedule()
  assert float(schedule(3124)) == pytest.approx(5e-3 * 3124 / 3125)
