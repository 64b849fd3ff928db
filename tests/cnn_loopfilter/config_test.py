import importlib
import pathlib

import ml_collections
import pytest

from cnn_loopfilter import config as config_lib
from cnn_loopfilter import errors

_CONFIGS = pathlib.Path(__file__).parents[2] / 'configs' / 'cnn_loopfilter'


@pytest.mark.parametrize(
    'name', sorted(path.stem for path in _CONFIGS.glob('*.py')))
def test_every_config_file_is_valid(name):
  module = importlib.import_module(f'configs.cnn_loopfilter.{name}')
  assert isinstance(config_lib.from_mapping(module.get_config()),
                    config_lib.Config)


def test_left_out_keys_keep_the_paper_values():
  config = config_lib.from_mapping({})
  assert config.network.filters == (64,) * 7
  assert (config.loss.lambda_w, config.loss.lambda_s,
          config.loss.lambda_lda) == (1e-5, 5e-8, 3e-6)


def test_lists_and_whole_numbers_are_taken():
  config = config_lib.from_mapping(ml_collections.ConfigDict(
      {'network': {'filters': [8, 4]}, 'loss': {'lambda_w': 1}}))
  assert config.network.filters == (8, 4)
  assert config.loss.lambda_w == 1.0


@pytest.mark.parametrize('group, key, value, message', [
    ('network', 'filter', (4,), 'network.filter is unknown; nearest: '
     'network.filters'),
    ('network', 'filters', (), 'network.filters: got .* one layer or more'),
    ('network', 'filters', 8, 'network.filters: got 8'),
    ('network', 'kernel_size', 4, 'network.kernel_size: got 4, .* odd'),
    ('network', 'residual_scale', 0.3, 'power of two'),
    ('network', 'activation_dtype', 'half', "'float32' or 'bfloat16'"),
    ('loss', 'lambda_w', -1.0, 'loss.lambda_w: got -1.0, expected 0 or more'),
    ('loss', 'balance', 'qp', "'none' or 'class'"),
    ('optimizer', 'schedule', 'step', "'cosine' or 'polynomial'"),
    ('optimizer', 'learning_rate', 'fast', "got 'fast', expected float"),
    ('training', 'steps', 1.5, 'training.steps: got 1.5, expected int'),
    ('training', 'steps', True, 'training.steps: got True, expected int'),
    ('training', 'evaluate_every_steps', 7, 'a multiple of'),
    ('training', 'ema_decay', 1.0, r'a number in \[0, 1\)'),
    ('data', 'qps', (), r'data.qps: got \(\), expected one or more'),
    ('data', 'qps', (22, 22), 'expected each value once'),
    ('data', 'qps', (22, 52), r'data.qps: got \(22, 52\), expected 0 to 51 '
     "with codec.name 'x265'"),
    ('data', 'depth', 9, 'data.depth: got 9, expected one of 8, 10, 12'),
    ('codec', 'name', 'vvc', "codec.name: got 'vvc', expected one of x265"),
    ('codec', 'name', 'external', 'codec.encode_command: got .* a program'),
])
def test_mistakes_name_key_and_expectation(group, key, value, message):
  with pytest.raises(errors.InputError, match=message):
    config_lib.from_mapping({group: {key: value}})


def test_other_codecs_have_more_qps():
  codec = {'name': 'external', 'encode_command': ('e',),
           'decode_command': ('d',)}
  qps = (22, 63)
  config = config_lib.from_mapping({'codec': codec, 'data': {'qps': qps}})
  assert config.data.qps == qps
  with pytest.raises(errors.InputError, match='expected one or more of 0 to'):
    config_lib.from_mapping({'codec': codec, 'data': {'qps': (22, 64)}})


def test_group_must_be_a_mapping():
  with pytest.raises(errors.InputError, match='loss: got 3, expected a group'):
    config_lib.from_mapping({'loss': 3})
