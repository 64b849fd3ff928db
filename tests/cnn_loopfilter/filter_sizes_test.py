import importlib
import pathlib

import pytest

from cnn_loopfilter import frames
from cnn_loopfilter import pretrained


@pytest.fixture(name='kmac_per_pixel')
def _kmac_per_pixel(monkeypatch):
  scripts = pathlib.Path(__file__).parents[2] / 'scripts' / 'cnn_loopfilter'
  monkeypatch.syspath_prepend(str(scripts))
  return importlib.import_module('filter_sizes').kmac_per_pixel


@pytest.mark.parametrize('chroma, kmac', [
    ('400', 222.912), ('420', 334.368), ('444', 668.736)])
def test_chroma_adds_its_share_of_samples(kmac_per_pixel, chroma, kmac):
  path = pretrained.folder()
  sizes = kmac_per_pixel(
      [str(path), f'float={path}.npz', f'each=22:{path}+37:{path}.npz'],
      frames.Format(64, 48, 8, chroma))
  assert sizes == {'filter_64': pytest.approx(kmac),
                   'float': pytest.approx(kmac), 'each': pytest.approx(kmac)}
