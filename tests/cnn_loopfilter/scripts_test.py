"""The whole way as a user goes it: pictures in, exported filter, BD-rates."""

import csv
import hashlib
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
from PIL import Image
import pytest
from skimage import data
import tensorflow as tf

from cnn_loopfilter import float_filter
from cnn_loopfilter import pictures
from cnn_loopfilter import records
from cnn_loopfilter import runtime
from cnn_loopfilter.codec import x265
from tests import script_server

pytestmark = pytest.mark.slow

_ROOT = pathlib.Path(__file__).parents[2]
_SCRIPTS = _ROOT / 'scripts' / 'cnn_loopfilter'
_CONFIG = f'--config={_ROOT}/configs/cnn_loopfilter/small.py'
_SMALL = ('--config.network.filters=(8, 8)', '--config.training.steps=40',
          '--config.training.save_every_steps=20',
          '--config.training.evaluate_every_steps=40',
          '--config.training.evaluate_patches=64',
          '--config.training.summary_every_steps=4')


def _call(script, *flags):
  return script_server.run(_SCRIPTS / script, _CONFIG, *flags)


def _run(*words):
  done = _call(*words)
  assert done.returncode == 0, done.stderr
  assert 'Traceback' not in done.stderr
  return done.stdout


@pytest.fixture(scope='module')
def way(tmp_path_factory):
  """Goes the whole way once; returns the folder and what was printed."""
  work = tmp_path_factory.mktemp('way')
  (work / 'pictures').mkdir()
  for name, picture in (('astronaut', data.astronaut()[:96, 160:256]),
                        ('cat', data.chelsea()[100:180, 100:212])):
    Image.fromarray(picture).save(work / 'pictures' / f'{name}.png')
  printed = {}
  printed['prepare'] = _run(
      'prepare_frames.py', f'--input={work}/pictures',
      f'--output={work}/patches')
  printed['train'] = _run(
      'train.py', '--mode=train_and_eval', f'--data_dir={work}/patches',
      f'--eval_dir={work}/patches', f'--model_dir={work}/model', *_SMALL)
  _run('train.py', '--mode=export', f'--model_dir={work}/model',
       f'--output={work}/filter.npz', *_SMALL)
  printed['compress'] = _run(
      'compress.py', f'--filter={work}/filter.npz',
      f'--data_dir={work}/patches', f'--eval_dir={work}/patches',
      f'--output_dir={work}/smaller', *_SMALL)
  printed['export'] = _run(
      'export_dfp.py', f'--input={work}/smaller/compressed/filter.npz',
      f'--records={work}/patches', f'--output={work}/exported',
      '--patches=32', '--sweeps=1', '--fine_tune_steps=4')
  printed['evaluate'] = _run(
      'evaluate.py', f'--input={work}/pictures', f'--output={work}/results',
      f'--filter=float={work}/filter.npz,dfp={work}/exported,'
      f'each=22:{work}/filter.npz+37:{work}/exported',
      '--anchors=svtav1:8', '--switches=arithmetic')
  return work, printed


def test_records_are_those_of_the_pictures(way):
  work, printed = way
  index = records.check_shards(work / 'patches')
  assert [one['name'] for one in index['pictures']] == ['astronaut', 'cat']
  assert all(set(one['qps']) == {'22', '27', '32', '37'}
             for one in index['pictures'])
  assert '2 pictures by x265 medium' in printed['prepare']


def test_training_scores_and_exports(way):
  work, printed = way
  assert 'Step 40: mean gain' in printed['train']
  trained = float_filter.load(work / 'filter.npz')
  assert trained.widths == (8, 8, 1)
  assert trained.description['step'] == 40


def test_compression_halves_the_work(way):
  work, printed = way
  report = json.loads((work / 'smaller/report.json').read_text())
  assert (report['compressed']['macs_per_sample']
          <= 0.5 * report['before']['macs_per_sample'])
  assert 'MACs/sample' in printed['compress']


def test_the_exported_filter_gives_the_same_bits_everywhere(way):
  work, printed = way
  assert 'After fine-tuning they lose' in printed['export']
  plane = data.camera()[:61, :83]
  expected, *others = (
      runtime.load(work / 'exported', backend).filter_plane(plane, 32)
      for backend in runtime.BACKENDS)
  for other in others:
    np.testing.assert_array_equal(other, expected)


def test_ten_bit_exports_agree_with_the_eight_bit_one(way):
  work, _ = way
  for name, *flags in (('eight',), ('ten', '--depth=10')):
    _run('export_dfp.py', f'--input={work}/filter.npz',
         f'--records={work}/patches', f'--output={work}/{name}',
         '--patches=32', '--sweeps=0', *flags)
  script_server.run(
      _SCRIPTS / 'change_depth.py', '--depth=10', f'--input={work}/eight',
      f'--output={work}/changed').check_returncode()
  plane = data.camera()[:61, :83]
  eight = runtime.load(work / 'eight', 'numpy').filter_plane(plane, 32)
  for name, most in (('ten', 1), ('changed', 0.625)):
    loaded = runtime.load(work / name, 'numpy')
    found = loaded.filter_plane(plane.astype(np.uint16) * 4, 32) / 4
    assert loaded.depth == 10
    assert np.abs(found - eight).max() <= most
    assert np.abs(found - eight).mean() < 0.3


def test_tables_and_pictures_hold_every_filter(way):
  work, printed = way
  for codec, states in (
      ('x265 medium', ('float', 'dfp', 'each', 'no filter',
                       'deblocking alone')),
      ('SVT-AV1 preset 8', ('float', 'dfp', 'each', 'no filter'))):
    for name in states:
      assert f'| {codec} | {name} |' in printed['evaluate']
  with open(work / 'results/points.csv', newline='') as stream:
    rows = list(csv.DictReader(stream))
  # 2 pictures, 4 QPs, 3 and 2 states of the codecs, 3 filters plain and
  # switched.
  assert len(rows) == 2 * 4 * (3 + 2 + 2 * 2 * 3)
  assert '| dfp with switches (arithmetic, 64) |' in printed['evaluate']
  content = json.loads((work / 'results/results.json').read_text())
  values = [value for row in content['bd_rates'] for value in row['percent']
            if value is not None]
  assert values and all(map(math.isfinite, values))
  assert {path.name for path in (work / 'results/pictures').iterdir()} >= {
      'rd-astronaut.png', 'rd-cat.png', 'crop-cat-qp37.png', 'rd-codecs.png',
      'svt-av1-preset-8'}
  page = (work / 'results/report.html').read_text()
  assert page.count('class="compare"') == 3


def test_the_same_pictures_give_the_same_records(way):
  work, _ = way
  _run('prepare_frames.py', f'--input={work}/pictures',
       f'--output={work}/again')
  for path in (work / 'patches').iterdir():
    digests = [hashlib.sha256((work / folder / path.name).read_bytes())
               for folder in ('patches', 'again')]
    assert digests[0].digest() == digests[1].digest(), path.name


def test_a_killed_training_ends_with_the_same_weights(way):
  work, _ = way
  flags = ('train.py', f'--data_dir={work}/patches',
           f'--model_dir={work}/killed', *_SMALL)
  process = subprocess.Popen(
      [sys.executable, str(_SCRIPTS / flags[0]), _CONFIG, *flags[1:]],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      env={**os.environ, 'PYTHONPATH': str(_ROOT)})
  while not list((work / 'killed').glob('model.ckpt-20.index')):
    assert process.poll() is None, process.communicate()
    time.sleep(0.05)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  assert not list((work / 'killed').glob('model.ckpt-40.index'))
  assert 'Resuming from step 20 of 40' in _run(*flags)
  _run('train.py', '--mode=export', f'--model_dir={work}/killed',
       f'--output={work}/killed.npz', *_SMALL)
  assert (work / 'killed.npz').read_bytes() == (
      work / 'filter.npz').read_bytes()
  # The moments, batch norm's averages and the unaveraged weights too.
  whole, resumed = (tf.train.load_checkpoint(str(work / name))
                    for name in ('model', 'killed'))
  shapes = whole.get_variable_to_shape_map()
  assert resumed.get_variable_to_shape_map() == shapes
  assert any('Adam' in name for name in shapes)
  for name in shapes:
    np.testing.assert_array_equal(
        whole.get_tensor(name), resumed.get_tensor(name), name)


def _relative_errors(folder):
  """Of each summary: the filtered patches' error over the unfiltered ones'."""
  return [tf.make_ndarray(value.tensor).item() if value.HasField('tensor')
          else value.simple_value
          for path in sorted(folder.glob('events*'))
          for event in tf.compat.v1.train.summary_iterator(str(path))
          for value in event.summary.value
          if value.tag == 'loss/relative_error']


@pytest.mark.parametrize('name, learning_rate', [
    ('adam', 0.004), ('lamb', 0.01)])
def test_either_optimizer_leaves_the_zero_start(way, name, learning_rate):
  work, _ = way
  _run('train.py', f'--data_dir={work}/patches', f'--model_dir={work}/{name}',
       *_SMALL, '--config.training.steps=240',
       '--config.training.save_every_steps=240',
       '--config.training.evaluate_every_steps=240',
       f'--config.optimizer.name={name}',
       f'--config.optimizer.learning_rate={learning_rate}')
  relative = _relative_errors(work / name)
  assert len(relative) == 60
  # The filter begins with changing nothing; single batches differ much.
  assert relative[0] == 1
  assert np.mean(relative[30:]) < 0.99
  _run('train.py', '--mode=export', f'--model_dir={work}/{name}',
       f'--output={work}/{name}.npz', *_SMALL)
  trained = float_filter.load(work / f'{name}.npz')
  assert np.linalg.norm(trained.layers[-1].kernel) > 0.01
  assert np.isfinite(trained.layers[0].kernel).all()


def test_real_pictures_give_the_same_bits_on_every_runtime():
  from cnn_loopfilter import pretrained
  sequence = pictures.from_array('cat', data.chelsea()[60:161, 100:219])
  for qp in (27, 37):
    coded = next(x265.X265().encode(sequence.open(), qp, 'none'))
    for plane in coded.reconstruction.planes:
      expected, *others = (
          pretrained.load(backend=backend).filter_plane(plane, qp)
          for backend in runtime.BACKENDS)
      assert np.mean(expected != plane) > 0.1
      for other in others:
        np.testing.assert_array_equal(other, expected)


# An encoder that fails.
_FAILING = (
    '--config.codec.name=external',
    f"--config.codec.encode_command=({sys.executable!r}, '-c', "
    "'print(\"first\\\\nno licence\"); raise SystemExit(3)')",
    "--config.codec.decode_command=('no-decoder',)")


@pytest.mark.parametrize('script, flags, words', [
    ('prepare_frames.py', ['--input=/nowhere', '--output={}/x'], '/nowhere'),
    ('prepare_frames.py', ['--input={}/pictures', '--output={}/x',
                           '--qps=22,52'],
     "data.qps: got (22, 52), expected 0 to 51 with codec.name 'x265'"),
    ('prepare_frames.py', ['--input={}/pictures', '--output={}/x',
                           '--config.codec.preset=best'], "got 'best'"),
    ('prepare_frames.py', ['--input={}/pictures', '--output={}/x',
                           '--config.codec.name=external',
                           "--config.codec.encode_command=('no-encoder',)",
                           "--config.codec.decode_command=('no-decoder',)"],
     'no-encoder'),
    ('prepare_frames.py', ['--input={}/pictures', '--output={}/x',
                           *_FAILING], 'failed with status 3; its last lines: '
     'first | no licence'),
    ('prepare_frames.py', ['--input={}/pictures', '--output={}/x',
                           '--config.data.depth=9'],
     'data.depth: got 9, expected one of 8, 10, 12'),
    ('prepare_frames.py', ['--input={}/pictures', '--output={}/x',
                           '--config.data.depth=10'],
     'astronaut: got 8 bits, expected 10'),
    ('prepare_frames.py', ['--input={}/pictures', '--output={}/x',
                           '--qps=22,high'], "--qps: got '22,high'"),
    ('prepare_frames.py', ['--input={}/pictures', '--output={}/x',
                           '--every=0'], 'every'),
    ('prepare_frames.py', ['--input={}/pictures', '--output={}/patches'],
     'patches: exists and is not empty'),
    ('train.py', ['--data_dir={}', '--model_dir={}/x'], 'no index.json'),
    ('train.py', ['--data_dir={}/patches', '--model_dir={}/x',
                  '--mode=train_and_eval', '--eval_dir={}/none'],
     'none: no index.json in there'),
    ('train.py', ['--data_dir={}/patches', '--model_dir={}/x',
                  '--config.data.depth=10'], 'patches of 8 bits, expected 10'),
    ('train.py', ['--data_dir={}/patches', '--model_dir={}/x',
                  '--config.optimizer.name=sgd'], "got 'sgd', expected one of"),
    ('train.py', ['--mode=export', '--model_dir={}/none', '--output={}/x'],
     'none: no training'),
    ('train.py', ['--data_dir={}/patches', '--model_dir={}/x',
                  '--config.training.step=3'],
     'training.step is unknown; nearest: training.steps'),
    ('train.py', ['--model_dir={}/x'], '--mode=train needs --data_dir'),
    ('export_dfp.py', ['--input={}/x.npz', '--records={}/patches',
                       '--output={}/x'], 'x.npz'),
    ('export_dfp.py', ['--input={}/filter.npz', '--records={}/none',
                       '--output={}/x'], 'none: no index.json'),
    ('export_dfp.py', ['--input={}/filter.npz', '--records={}/patches',
                       '--output={}/x', '--config.quantization.output_bits=1'],
     'quantization.output_bits: got 1, expected a whole number from 2'),
    ('export_dfp.py', ['--input={}/filter.npz', '--records={}/patches',
                       '--output={}/x', '--depth=7'],
     '--depth: got 7, expected 8 or more'),
    ('evaluate.py', ['--input={}/pictures', '--output={}/x', *_FAILING],
     'failed with status 3'),
    ('evaluate.py', ['--input={}/pictures', '--output={}/x',
                     '--filter={}/none.npz'], 'none.npz: no such file'),
    ('evaluate.py', ['--input={}/pictures', '--output={}/x',
                     '--filter=each=22:{}/filter.npz+22:{}/filter.npz'],
     'each QP once'),
    ('evaluate.py', ['--input={}/pictures', '--output={}/x',
                     '--qps=22,27,32'], 'expected four or more'),
    ('evaluate.py', ['--input={}/pictures', '--output={}/x',
                     '--anchors=x264,h267'], "--anchors: got 'h267', expected "
     'NAME or NAME:PRESET with one of x265, x264, svtav1'),
    ('evaluate.py', ['--input={}/pictures', '--output={}/x',
                     '--anchors=svtav1:slow'], "preset: got 'slow'"),
    ('evaluate.py', ['--input={}/pictures', '--output={}/x',
                     '--anchors=x265'], 'x265 medium, x265 medium, expected'),
    ('evaluate.py', ['--input={}/pictures', '--output={}/x',
                     '--anchors=svtav1', '--qps=22,27,32,50'],
     "expected 0 to 49 with codec.name 'svtav1'"),
    ('evaluate.py', ['--input={}/pictures', '--output={}/x',
                     '--config.codec.name=av2'],
     "codec.name: got 'av2', expected one of x265, x264, svtav1, external"),
], ids=['input', 'qp', 'preset', 'encoder', 'failing', 'depth', 'other_depth',
        'words', 'every', 'there', 'records', 'held_out', 'bits', 'optimizer',
        'training', 'key', 'flag', 'filter', 'no_records', 'widths',
        'fewer', 'evaluation', 'no_filter', 'by_qp', 'few', 'anchor',
        'anchor_preset', 'twice', 'anchor_qp', 'codec'])
def test_mistakes_are_told_in_one_line(way, script, flags, words):
  work, _ = way
  done = _call(script, *(flag.replace('{}', str(work)) for flag in flags))
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1].startswith('error: ')
  assert words in done.stderr.splitlines()[-1]
  assert 'Traceback' not in done.stderr
  assert not (work / 'x').exists()
