"""Compares prediction by slabs with one pass: result, memory and time.

  python scripts/mtf_unet/measure_slabs.py --size=128 --norm=batch

A volume of noise goes through an untrained network (both seeded), each method
in a fresh process. With --output=FOLDER the network (config.py, model/) and
the volume (scan.nii.gz) stay there, for train.py to predict as well.
"""

import os

# Before TensorFlow is imported, here or in the processes started from here.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import json
import pathlib
import sys
import tempfile
import time

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import numpy as np
import tensorflow as tf

from mtf_unet import atomic_file
from mtf_unet import checkpoints
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import inference
from mtf_unet import layout
from mtf_unet import model
from mtf_unet import slab_prediction
from mtf_unet import volumes
from mtf_unet.benchmark import measurement
from mtf_unet.benchmark import rounds

_SIZE = flags.DEFINE_integer('size', 128, 'Voxels along each edge.',
                             lower_bound=8)
_BASE = flags.DEFINE_integer('base', 16, 'Filters of the first level.')
_NORM = flags.DEFINE_enum('norm', 'batch', ['batch', 'instance'],
                          'Normalization of the network.')
_SLABS = flags.DEFINE_integer('slabs', 0, 'As prediction.slabs.')
_RUNS = flags.DEFINE_integer('runs', 2, 'Predictions in each process; the '
                             'last is timed.', lower_bound=1)
_OUTPUT = flags.DEFINE_string('output', '', 'Folder that keeps the network.')
_COMPARE = flags.DEFINE_bool(
    'compare', True, 'Predict; else only fill --output.')
_TIMEOUT_S = flags.DEFINE_float(
    'timeout_s', 3600, 'Seconds after which a process is given up.')
_METHOD = flags.DEFINE_enum(
    'method', None, ['whole', 'slabs'], 'Run this one alone, in this process, '
    'on the network in --output, and print its figures as one line of JSON.')


def _config_text() -> str:
  return f'''"""An untrained network of measure_slabs.py."""

import ml_collections


def get_config():
  return ml_collections.ConfigDict({{
      'data': {{'size': ({_SIZE.value},) * 3}},
      'network': {{'base_filters': {_BASE.value},
                  'normalization': '{_NORM.value}'}},
      'training': {{'steps': 1}}}})
'''


def _config(method: str) -> config_lib.Config:
  return config_lib.from_mapping({
      'data': {'size': (_SIZE.value,) * 3},
      'network': {'base_filters': _BASE.value, 'normalization': _NORM.value},
      'training': {'steps': 1},
      'prediction': {'method': method, 'slabs': _SLABS.value * (
          method == 'slabs')}})


def _noise(size: int) -> np.ndarray:
  return np.random.default_rng(0).standard_normal((size,) * 3, np.float32)


def _write_network(folder: pathlib.Path) -> None:
  """Fills a folder with config.py and model/."""
  config = _config('whole')
  with atomic_file.replacing(folder / 'config.py') as stream:
    stream.write(_config_text().encode('utf-8'))
  (folder / 'model').mkdir(parents=True, exist_ok=True)
  edge = config.network.size_multiple
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.set_random_seed(0)
    # Weights know nothing of a size.
    graph = model.prediction_graph(
        config, layout.partition(config.mesh), (edge,) * 3, 1)
    session.run(tf.compat.v1.global_variables_initializer())
    graph.saver.save(session, str(folder / 'model' / 'model.ckpt'),
                     global_step=0)
  checkpoints.write_config(str(folder / 'model'), config)


def _measure(folder: pathlib.Path, method: str) -> dict:
  """Predicts in this process; leaves the probabilities as METHOD.npy."""
  config, image = _config(method), _noise(_SIZE.value)[..., np.newaxis]
  tf.linalg.matmul(tf.ones((64, 64)), tf.ones((64, 64)))
  measurement.forget_peak()
  idle = measurement.resident_mib()
  predictor = inference.ensemble_of(
      config, layout.partition(config.mesh), [str(folder / 'model')],
      workspace=slab_prediction.Workspace(str(folder)))
  for _ in range(_RUNS.value):
    start, cpu_start = time.perf_counter(), time.process_time()
    probabilities = predictor.probabilities(image)
    seconds = time.perf_counter() - start
    cpu_seconds = time.process_time() - cpu_start
  peak = measurement.peak_resident_mib() - idle
  np.save(folder / f'{method}.npy', probabilities)
  return {'seconds': seconds, 'cpu_seconds': cpu_seconds, 'idle_mib': idle,
          'peak_mib': peak}


def _child(folder: pathlib.Path, method: str) -> dict:
  report = rounds.run_child(
      [sys.executable, os.path.abspath(__file__), f'--method={method}',
       f'--output={folder}', f'--size={_SIZE.value}', f'--base={_BASE.value}',
       f'--norm={_NORM.value}', f'--slabs={_SLABS.value}',
       f'--runs={_RUNS.value}'], _TIMEOUT_S.value)
  if 'note' in report:
    raise errors.InputError(f'--size: {_SIZE.value}: {report["note"]}')
  return report


def _compare(folder: pathlib.Path) -> None:
  print(f'{_SIZE.value}^3, base {_BASE.value}, {_NORM.value} norm, '
        f'prediction.slabs={_SLABS.value}; load average at the start '
        f'{os.getloadavg()[0]:.2f}\n')
  print('| method | seconds | processor seconds | peak above idle, MiB |\n'
        '|---|---|---|---|')
  reports = {}
  for method in ('whole', 'slabs'):
    found = reports[method] = _child(folder, method)
    print(f'| {method} | {found["seconds"]:.1f} | {found["cpu_seconds"]:.1f} '
          f'| {found["peak_mib"]:.0f} |', flush=True)
  whole, slabs = (np.load(folder / f'{method}.npy') for method in reports)
  ratio = {key: reports['slabs'][key] / reports['whole'][key]
           for key in ('cpu_seconds', 'peak_mib')}
  print(f'\nslabs / whole: processor seconds {ratio["cpu_seconds"]:.2f}, '
        f'memory {ratio["peak_mib"]:.2f}\nprobabilities differ by '
        f'{np.abs(whole - slabs).max():.2g} at most, labels in '
        f'{np.count_nonzero(whole.argmax(-1) != slabs.argmax(-1))} of '
        f'{whole[..., 0].size} voxels')


def main() -> None:
  """Compares the two methods, or measures one."""
  if _SIZE.value % 8:
    raise errors.InputError(
        f'--size: got {_SIZE.value}, expected a multiple of 8')
  if not _OUTPUT.value:
    if _METHOD.value or not _COMPARE.value:
      raise errors.InputError('--method and --nocompare need --output')
    with tempfile.TemporaryDirectory() as folder:
      _write_network(pathlib.Path(folder))
      _compare(pathlib.Path(folder))
    return
  folder = pathlib.Path(_OUTPUT.value)
  if _METHOD.value:
    print(json.dumps(_measure(folder, _METHOD.value)))
    return
  _write_network(folder)
  # Cubes of 8^3 equal voxels, which gzip packs in seconds.
  volumes.write(folder / 'scan.nii.gz', np.kron(
      _noise(_SIZE.value // 8), np.ones((8, 8, 8), np.float32)), np.eye(4))
  if _COMPARE.value:
    _compare(folder)


if __name__ == '__main__':
  command_line.run(main)
