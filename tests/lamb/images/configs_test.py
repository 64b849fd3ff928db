import importlib.util
import pathlib

import pytest

from lamb import errors
from lamb.images import config
from lamb.images import recipes

_CONFIGS = pathlib.Path(__file__).parents[3] / 'configs/lamb'


def _get(name, *arguments):
  spec = importlib.util.spec_from_file_location(name, _CONFIGS / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return config.from_mapping(module.get_config(*arguments))


def test_files_hold_the_recipes():
  assert _get('resnet50_32k') == recipes.resnet50(32768)
  assert _get('resnet50', '4096') == recipes.resnet50(4096)
  assert _get('davidnet', 'lars') == recipes.davidnet('lars')


def test_batch_that_is_no_number_is_refused():
  with pytest.raises(errors.InputError, match="got '4k', expected a whole"):
    _get('resnet50', '4k')
