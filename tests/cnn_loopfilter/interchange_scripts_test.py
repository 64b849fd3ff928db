"""The scripts that write and measure a filter's other forms, as users run."""

import numpy as np
from PIL import Image
import pytest

from cnn_loopfilter import artefact
from cnn_loopfilter import pretrained
from tests import script_server
from tests.cnn_loopfilter import integer_filters


def _run(script, *flags):
  return script_server.run(f'scripts/cnn_loopfilter/{script}', *flags)


def _told(script, *flags):
  """The one line of a mistake."""
  done = _run(script, *flags)
  assert done.returncode == 1 and done.stderr.startswith('error: ')
  assert done.stderr.count('\n') == 1
  return done.stderr


@pytest.fixture
def exported(tmp_path):
  (tmp_path / 'exported').mkdir()
  artefact.save(integer_filters.random_filter(output_bits=9, widths=(4, 1),
                                              with_vector=True),
                tmp_path / 'exported')
  return tmp_path / 'exported'


@pytest.mark.slow
def test_all_forms_are_written(exported, tmp_path):
  forms = ('onnx', 'tflite', 'sadl')
  done = _run('export_interchange.py', f'--filter={exported}',
              *(f'--{form}={tmp_path}/a.{form}' for form in forms))
  assert done.returncode == 0, done.stderr
  for form in forms:
    path = tmp_path / f'a.{form}'
    assert f'{path}: {path.stat().st_size} bytes' in done.stdout


def test_a_shipped_filter_goes_by_its_name(tmp_path):
  done = _run('export_interchange.py', f'--filter={pretrained.DEFAULT}',
              f'--sadl={tmp_path}/a.sadl')
  assert done.returncode == 0, done.stderr
  assert (tmp_path / 'a.sadl').read_bytes()[:8] == b'SADL0004'


def test_mistakes_of_the_export_are_told(exported):
  assert 'got none of them, expected one at least' in _told(
      'export_interchange.py', f'--filter={exported}')
  assert 'filter.json: no such file' in _told(
      'export_interchange.py', '--filter=filter_65', '--sadl=a')


@pytest.mark.slow
def test_the_loss_by_sadls_rounding_is_told(exported, tmp_path):
  rng = np.random.default_rng(0)
  slope = np.add.outer(np.arange(48), np.arange(64))[..., None]
  Image.fromarray((slope + rng.integers(0, 9, [48, 64, 3])).astype(
      np.uint8)).save(tmp_path / 'a.png')
  done = _run('measure_sadl.py', f'--filter={exported}', '--qps=30',
              f'--input={tmp_path / "a.png"}', '--crop=16')
  assert done.returncode == 0, done.stderr
  rows = [row.split('|')[1:-1] for row in done.stdout.splitlines()[-2:]]
  assert [row[0].strip() for row in rows] == ['more, in int16', 'own']
  # More fractional bits lose less.
  assert float(rows[0][2]) <= float(rows[1][2])
  assert float(rows[1][2]) > 0


def test_pictures_that_are_missing_are_told():
  assert 'nowhere' in _told('measure_sadl.py', '--input=nowhere.png')
