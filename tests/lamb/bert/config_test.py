import json
import pathlib

import pytest

from lamb import errors
from lamb.bert import config

_CONFIGS = pathlib.Path(__file__).parents[3] / 'configs/lamb'
TINY = {
    'attention_probs_dropout_prob': 0.1, 'hidden_act': 'gelu',
    'hidden_dropout_prob': 0.1, 'hidden_size': 128,
    'initializer_range': 0.02, 'intermediate_size': 512,
    'max_position_embeddings': 512, 'num_attention_heads': 2,
    'num_hidden_layers': 2, 'type_vocab_size': 2, 'vocab_size': 30522}


def _write(folder, content):
  path = folder / 'bert_config.json'
  path.write_text(content)
  return path


def test_published_json_is_read(tmp_path):
  found = config.read(_write(tmp_path, json.dumps(
      TINY | {'pooler_type': 'first_token_transform'})))
  assert found.hidden_size == 128
  assert found.head_size == 64
  assert found.without_dropout().hidden_dropout_prob == 0


@pytest.mark.parametrize('content, message', [
    pytest.param('{"vocab', 'no JSON', id='cut_off'),
    pytest.param('[1]', 'got a JSON list', id='list'),
    pytest.param(json.dumps(TINY | {'hidden': 1}),
                 "unknown key 'hidden', expected vocab_size", id='unknown'),
    pytest.param('{"hidden_size": 12}', 'vocab_size: missing', id='missing'),
    pytest.param(json.dumps(TINY | {'hidden_size': 127}),
                 'hidden_size: got 127, expected a multiple', id='heads'),
    pytest.param(json.dumps(TINY | {'num_hidden_layers': 0}),
                 'num_hidden_layers: got 0', id='layers'),
    pytest.param(json.dumps(TINY | {'hidden_act': 'swish'}),
                 "hidden_act: got 'swish', expected one of gelu", id='act'),
    pytest.param(json.dumps(TINY | {'hidden_dropout_prob': 1}),
                 r'hidden_dropout_prob: got 1, expected .* \[0, 1\)',
                 id='dropout'),
])
def test_bad_json_is_told_with_its_file(tmp_path, content, message):
  with pytest.raises(errors.InputError, match=message) as caught:
    config.read(_write(tmp_path, content))
  assert 'bert_config.json' in str(caught.value)


@pytest.mark.parametrize('name, parameters', [
    ('tiny', 4.4e6), ('base', 109.5e6), ('large', 335.1e6)])
def test_configs_have_the_published_numbers_of_parameters(name, parameters):
  # Of the encoder; 4.4, 110 and 340 million are published.
  found = config.read(_CONFIGS / f'bert_{name}.json')
  width, inner = found.hidden_size, found.intermediate_size
  layer = 4 * width * (width + 1) + 2 * width * inner + inner + 5 * width
  embeddings = width * (found.vocab_size + found.max_position_embeddings
                        + found.type_vocab_size + 2)
  total = embeddings + found.num_hidden_layers * layer + width * (width + 1)
  assert abs(total / parameters - 1) < 0.01


def test_vocabulary_larger_than_the_network_is_refused():
  found = config.from_mapping(TINY)
  config.check_vocabulary(found, 30522, 'vocab.txt')
  with pytest.raises(errors.InputError, match='vocab.txt: 30523 tokens, but'):
    config.check_vocabulary(found, 30523, 'vocab.txt')
