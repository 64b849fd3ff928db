import importlib.util
import pathlib

import pytest

from mtf_unet import config as config_lib
from mtf_unet import layout
from mtf_unet import model

_FOLDER = pathlib.Path(__file__).parents[2] / 'configs' / 'mtf_unet'


def _module(path):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.mark.parametrize('name, variant', [
    *((path.stem, None) for path in sorted(_FOLDER.glob('*.py'))),
    ('hippocampus', 'ensemble'), ('hippocampus', 'folds'),
    *(('hippocampus_resolution', variant) for variant in _module(
        _FOLDER / 'hippocampus_resolution.py').VARIANTS)])
def test_every_experiment_is_valid_and_can_be_split(name, variant):
  module = _module(_FOLDER / f'{name}.py')
  assert module.__doc__
  arguments = [] if variant is None else [variant]
  config = config_lib.from_mapping(module.get_config(*arguments))
  model.check(config, layout.partition(config.mesh), config.data.size,
              config.training.batch_size)


def test_a_variant_that_does_not_exist_is_refused():
  with pytest.raises(ValueError, match="got 'fold', expected one of"):
    _module(_FOLDER / 'hippocampus.py').get_config('fold')
