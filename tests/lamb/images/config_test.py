import pytest

from lamb import errors
from lamb.images import config


@pytest.mark.parametrize('mapping, message', [
    ({'data': {'datset': 'x'}}, 'datset is unknown; nearest: data.dataset'),
    ({'dta': {}}, 'config key dta is unknown; nearest: data'),
    ({'data': 3}, 'config key data: got 3, expected a group'),
    ({'training': {'steps': 2.5}}, 'training.steps: got 2.5, expected int'),
    ({'training': {'steps': True}}, 'training.steps: got True, expected int'),
    ({'training': {'steps': 0}}, 'training.steps: got 0, expected 1 or more'),
    ({'optimizer': {'name': 'sgd'}}, "got 'sgd', expected one of lamb, lars"),
    ({'optimizer': {'momentum': 1.0}}, r'expected a number in \[0, 1\)'),
    ({'network': {'activation_dtype': 'half'}}, 'float32 or bfloat16'),
    ({'training': {'evaluate_every_steps': 1500}}, 'a multiple of'),
    ({'optimizer': {'warmup_steps': 9}, 'training': {'steps': 8}},
     'at most training.steps, 8'),
])
def test_mistakes_are_named(mapping, message):
  with pytest.raises(errors.InputError, match=message):
    config.from_mapping(mapping)


def test_whole_numbers_become_floats_and_the_rest_keeps_its_default():
  made = config.from_mapping({'optimizer': {'weight_decay': 1}})
  assert made.optimizer.weight_decay == 1.0
  assert isinstance(made.optimizer.weight_decay, float)
  assert made.training == config.TrainingConfig()
