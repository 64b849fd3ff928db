import numpy as np
import pytest

from lamb import errors
from lamb.bert import stages


def test_text_is_sequence_batch_steps():
  assert stages.parse('128x65536x7038, 512x32768x1561') == [
      (128, 65536, 7038), (512, 32768, 1561)]
  with pytest.raises(errors.InputError, match="got '128x64', expected SEQ"):
    stages.parse('128x64x2,128x64')


def test_untuned_rate_grows_with_the_root_of_the_batch():
  found = stages.untuned([(128, 512, 10000), (128, 32768, 15625)])
  assert [each.learning_rate for each in found] == [6.25e-4, 5e-3]
  assert [each.warmup_steps for each in found] == [3125, 3125]
  assert [each.max_predictions for each in found] == [20, 20]


def test_mixed_batch_job_has_its_recipe():
  found = stages.untuned([(128, 65536, 7038), (512, 32768, 1561)])
  assert [each.learning_rate for each in found] == [6e-3, 4e-3]
  assert [each.warmup_steps for each in found] == [2000, 200]
  assert [each.max_predictions for each in found] == [20, 80]


def test_untuned_warmup_has_to_fit():
  with pytest.raises(errors.InputError, match='3125 steps of warmup do not'):
    stages.untuned([(128, 512, 1000)])
  assert stages.untuned([(128, 512, 1000)], [100])[0].warmup_steps == 100


def test_rate_is_warmed_up_again_at_each_stage():
  found = stages.tuned([(128, 8, 10), (512, 4, 5)], [1.0, 0.5], [4, 2])
  rates = stages.learning_rate(found, np.arange(15))
  expected = [0, .25, .5, .75, .6, .5, .4, .3, .2, .1, 0, .25, .3, .2, .1]
  np.testing.assert_allclose(rates, expected)
  assert stages.starts(found) == [0, 10, 15]


@pytest.mark.parametrize('make, message', [
    (lambda: stages.tuned([(1, 1, 1)] * 3, [1.0, 2.0], [0]),
     'learning_rate: got 2 values, expected 1 or one for each of 3'),
    (lambda: stages.Stage(0, 1, 1, 0.1), 'sequence_length: got 0'),
    (lambda: stages.Stage(8, 1, 5, 0.1, 6), 'warmup_steps=6'),
    (lambda: stages.Stage(8, 1, 5, -0.1), 'learning_rate=-0.1'),
])
def test_bad_stage_is_refused(make, message):
  with pytest.raises(errors.InputError, match=message):
    make()
