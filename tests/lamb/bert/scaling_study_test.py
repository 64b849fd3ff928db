import dataclasses

import pytest

from lamb import errors
from lamb.bert import scaling_study

_STUDY = scaling_study.Study(
    examples=4096, grid_examples=640, batches=(64, 256, 1024), warmup_steps=3,
    rates=dict.fromkeys(scaling_study.OPTIMIZERS, (0.1, 0.2, 0.4)))
_RATES = {'lamb': 0.1, 'adamw': 0.2, 'lars': 0.4}


def _full_runs(study=_STUDY):
  return [run for optimizer, rate in _RATES.items()
          for run in scaling_study.full_runs(study, optimizer, rate)]


def _results(study=_STUDY, **accuracies):
  runs = _full_runs(study)
  return {run.name: {'masked_lm_accuracy': accuracies.get(run.name, 0.25),
                     'flop': 10, 'seconds': 1800} for run in runs}


@pytest.mark.parametrize('study', [_STUDY, scaling_study.Study()],
                         ids=['small', 'default'])
def test_every_full_run_sees_the_same_examples_and_warms_up_alike(study):
  runs = _full_runs(study)
  assert {run.examples for run in runs} == {study.examples}
  assert {run.stages[0].warmup_steps for run in runs} == {study.warmup_steps}
  assert [run.name for run in runs] == [
      'lamb_64', 'lamb_256', 'lamb_1024', 'lamb_mixed', 'adamw_64',
      'adamw_256', 'adamw_1024', 'lars_1024']


def test_learning_rate_grows_by_the_square_root_of_the_batch():
  rates = {run.name: run.stages[0].learning_rate
           for run in _full_runs()}
  assert rates['lamb_64'] == 0.1
  assert rates['lamb_256'] == pytest.approx(0.2)
  assert rates['adamw_1024'] == pytest.approx(0.8)
  assert rates['lars_1024'] == pytest.approx(1.6)


def test_mixed_batch_ends_with_a_tenth_at_half_the_batch():
  first, second = scaling_study.full_runs(_STUDY, 'lamb', 0.1)[-1].stages
  assert (first.sequence_length, first.batch_size, first.steps) == (
      128, 1024, 3)
  assert (second.sequence_length, second.batch_size, second.steps) == (
      512, 512, 2)
  assert second.learning_rate == pytest.approx(0.1 * 8 ** 0.5)


def test_grid_is_at_the_smallest_batch_and_the_least_loss_wins():
  runs = scaling_study.grid(_STUDY, 'adamw')
  assert [run.stages[0].learning_rate for run in runs] == [0.1, 0.2, 0.4]
  assert {(run.stages[0].batch_size, run.examples) for run in runs} == {
      (64, 640)}
  losses = dict(zip((run.name for run in runs), (5.0, 4.0, 'diverges')))
  results = {name: {'final_masked_lm_loss': loss}
             for name, loss in losses.items()}
  assert scaling_study.best_rate(_STUDY, 'adamw', results) == 0.2


def test_grid_of_diverged_runs_is_refused():
  results = {run.name: {'final_masked_lm_loss': 'diverges'}
             for run in scaling_study.grid(_STUDY, 'lars')}
  with pytest.raises(errors.InputError, match='rates of lars: every run'):
    scaling_study.best_rate(_STUDY, 'lars', results)


def test_summary_says_how_many_points_are_lost():
  found = scaling_study.summarize(_STUDY, _results(
      lamb_64=0.25, lamb_1024=0.245, adamw_64=0.24, adamw_1024='diverges'))
  assert found['lost_points'] == {'lamb': pytest.approx(0.5),
                                  'adamw': 'diverges'}
  assert found['verdict'] == (
      'from batch 64 to 1024 lamb loses 0.50 points, adamw diverges')
  assert (found['flop'], found['hours']) == (80, 4.0)


@pytest.mark.parametrize('accuracy, shown', [
    (0.1999, '0.1999'), ('diverges', 'diverges')])
def test_too_little_accuracy_at_the_smallest_batch_is_inconclusive(accuracy,
                                                                   shown):
  found = scaling_study.summarize(_STUDY, _results(adamw_64=accuracy))
  assert found['verdict'] == (
      'inconclusive: at batch 64 the masked-LM accuracy of adamw is '
      f'{shown}, short of 0.2')


def test_hours_are_unknown_where_a_run_was_stopped():
  results = _results()
  results['lamb_64']['seconds'] = None
  assert scaling_study.summarize(_STUDY, results)['hours'] is None


@pytest.mark.parametrize('change, message', [
    ({'batches': (256, 64)}, 'batches: got .*, expected rising'),
    ({'batches': (0, 64)}, 'expected rising numbers from 1'),
    ({'examples': 5000}, 'examples: got 5000, expected a multiple of 1024'),
    ({'examples': 1024}, 'expected a multiple of 1024 from 2048'),
    ({'grid_examples': 32}, 'grid_examples: got 32, expected a multiple'),
    ({'warmup_steps': 4}, 'fewer than the 4 steps of the shortest'),
    ({'rates': {'lamb': (1,), 'adamw': (1,)}}, 'rates: none of lars'),
    ({'micro_batch': 48}, 'expected a divisor of the batch 64')])
def test_settings_that_cannot_be_are_refused(change, message):
  with pytest.raises(errors.InputError, match=message):
    dataclasses.replace(_STUDY, **change)


def test_defaults_are_a_study():
  study = scaling_study.Study()
  assert study.batches == (64, 256, 1024)
  assert all(len(rates) == 5 for rates in study.rates.values())
