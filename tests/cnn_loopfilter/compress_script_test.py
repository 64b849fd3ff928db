"""The script as a user runs it: files in, table and report out."""

import json

import numpy as np
from PIL import Image
import pytest
from skimage import data

from cnn_loopfilter import checkpoints
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import float_filter
from cnn_loopfilter import pictures
from cnn_loopfilter import prepare
from cnn_loopfilter import records
from cnn_loopfilter import training
from cnn_loopfilter.codec import x265
from tests import script_server

pytestmark = pytest.mark.slow

_SETTINGS = {
    'data': {'patch_size': 16, 'stride': 16, 'chroma_stride': 16},
    'network': {'filters': (6, 6)},
    'training': {'steps': 3, 'batch_size': 8, 'save_every_steps': 3,
                 'evaluate_every_steps': 3, 'evaluate_patches': 64},
}


@pytest.fixture(scope='module')
def work(tmp_path_factory):
  """A picture, its records, a trained filter and a config."""
  folder = tmp_path_factory.mktemp('work')
  config = config_lib.from_mapping(_SETTINGS)
  picture = data.astronaut()[:96, 160:256]
  Image.fromarray(picture).save(folder / 'picture.png')
  prepare.prepare([pictures.from_array('a', picture)], x265.X265(),
                  folder / 'patches', config.data)
  job = training.Job(config, str(folder / 'model'), report=lambda line: None)
  training.train(job, lambda step: records.training_dataset(
      folder / 'patches', batch_size=8, seed=0, start_step=step))
  checkpoints.read_filter(folder / 'model').save(folder / 'filter.npz')
  settings = _SETTINGS | {'compression': {'minimum_width': 2}}
  (folder / 'config.py').write_text(
      'import ml_collections\n\ndef get_config():\n'
      f'  return ml_collections.ConfigDict({settings!r})\n')
  return folder


def _compress(work, *flags):
  return script_server.run(
      'scripts/cnn_loopfilter/compress.py', f'--config={work}/config.py',
      f'--filter={work}/filter.npz', f'--data_dir={work}/patches',
      f'--eval_dir={work}/patches', f'--output_dir={work}/out', *flags)


def test_all_variants_stand_in_table_and_report(work):
  result = _compress(work, '--controls=magnitude,scratch',
                     f'--input={work}/picture.png')
  assert result.returncode == 0, result.stderr
  assert 'Traceback' not in result.stderr
  report = json.loads((work / 'out/report.json').read_text())
  names = ['before', 'pruned', 'compressed', 'magnitude pruned', 'magnitude',
           'scratch']
  assert list(report) == [*names, 'run']
  lines = result.stdout.splitlines()
  for name in names:
    assert any(line.startswith(name + ' ') for line in lines)
    assert len(report[name]['bd_rate_percent']) == 3
  assert (report['compressed']['macs_per_sample']
          <= 0.5 * report['before']['macs_per_sample'])
  assert report['scratch']['filters'] == report['compressed']['filters']
  stored = float_filter.load(work / 'out/scratch/filter.npz')
  # 3 steps of the training and 3 of the fine-tuning.
  assert stored.description['step'] == 6
  assert np.isfinite(stored.layers[0].kernel).all()
  assert lines[-1] == f'Written to {work}/out/report.json'


@pytest.mark.parametrize('flag, words', [
    ('--controls=luck', 'contribution, magnitude, scratch'),
    ('--filter=/nowhere.npz', '/nowhere.npz'),
    ('--config.compression.keep_macs=0.01', 'compression.keep_macs'),
], ids=['control', 'filter', 'target'])
def test_mistakes_are_told_in_one_line(work, flag, words):
  result = _compress(work, flag)
  assert result.returncode == 1
  assert result.stderr.splitlines()[-1].startswith('error: ')
  assert words in result.stderr.splitlines()[-1]
  assert 'Traceback' not in result.stderr
