import pytest

from lamb import errors
from lamb import hyperparameters
from lamb import param_filter


@pytest.mark.parametrize('change, message', [
    ({'beta_1': 1.0}, r'beta_1=1.0: expected a number in \[0, 1\)'),
    ({'beta_2': -0.1}, r'beta_2=-0.1: expected a number in \[0, 1\)'),
    ({'epsilon': -1e-6}, 'epsilon=-1e-06: expected a finite number that is'),
    ({'weight_decay': float('nan')}, 'weight_decay=nan'),
    ({'weight_decay': None}, 'weight_decay=None'),
    ({'norm': 'l3'}, "norm='l3': expected one of l1, l2, linf"),
    ({'nesterov': True}, 'nesterov=True: expected one of none, first, both'),
    ({'phi_min': 2.0, 'phi_max': 1.0}, 'phi_max=1.0'),
    ({'max_trust_ratio': 0}, 'max_trust_ratio=0'),
    ({'exclude_from_weight_decay': 'bias'}, r"expected a list.*\['bias'\]"),
    ({'exclude_from_layer_adaptation': ['(']}, r"'\(' is no valid regular"),
    ({'exclude_from_weight_decay': [3]}, 'of type str, got 3'),
])
def test_bad_settings_are_named(change, message):
  with pytest.raises(errors.InputError, match=message):
    hyperparameters.LambHyperparameters(**change)


def test_lars_refuses_zero_trust_coefficient():
  with pytest.raises(errors.InputError, match='trust_coefficient=0'):
    hyperparameters.LarsHyperparameters(trust_coefficient=0)


@pytest.mark.parametrize('decay, adaptation, decays, adapts', [
    pytest.param(['bias'], None, False, False, id='none_follows_decay'),
    pytest.param(['bias'], [], False, True, id='empty_adapts_everything'),
    pytest.param(None, ['bias'], True, False, id='adaptation_only'),
    pytest.param(None, None, True, True, id='nothing_excluded'),
])
def test_exclusions(decay, adaptation, decays, adapts):
  settings = hyperparameters.LambHyperparameters(
      exclude_from_weight_decay=decay,
      exclude_from_layer_adaptation=adaptation)
  assert settings.decays('layer/bias') == decays
  assert settings.adapts('layer/bias') == adapts
  assert settings.decays('layer/kernel') and settings.adapts('layer/kernel')


@pytest.mark.parametrize('known, excluded, kept', [
    (param_filter.BERT_EXCLUSIONS,
     ['bert/LayerNorm/gamma', 'layer_norm_1/beta', 'dense/bias'],
     ['dense/kernel', 'word_embeddings']),
    (param_filter.RESNET_EXCLUSIONS,
     ['batch_normalization_3/gamma', 'layer_norm/beta'],
     ['dense/bias', 'conv2d/kernel']),
], ids=['bert', 'resnet'])
def test_authors_lists(known, excluded, kept):
  assert all(param_filter.is_excluded(known, path) for path in excluded)
  assert not any(param_filter.is_excluded(known, path) for path in kept)


def test_authors_list_does_not_warn_of_its_other_spellings(recwarn):
  param_filter.warn_unmatched(
      'x', param_filter.RESNET_EXCLUSIONS, ['batch_normalization/gamma'])
  assert not recwarn.list


def test_output_number_is_no_part_of_the_path():
  assert param_filter.variable_path('a/kernel:0') == 'a/kernel'
