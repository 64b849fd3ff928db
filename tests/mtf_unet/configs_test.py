import importlib.util
import pathlib

import pytest

from mtf_unet import config as config_lib
from mtf_unet import layout
from mtf_unet import model

_FOLDER = pathlib.Path(__file__).parents[2] / 'configs' / 'mtf_unet'


@pytest.mark.parametrize('path', sorted(_FOLDER.glob('*.py')),
                         ids=lambda path: path.stem)
def test_every_experiment_is_valid_and_can_be_split(path):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  assert module.__doc__
  config = config_lib.from_mapping(module.get_config())
  model.check(config, layout.partition(config.mesh), config.data.size,
              config.training.batch_size)
