"""Blocks from files: the same cases, and no file that a host does not need."""

import itertools
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import block_files
from mtf_unet import blocks
from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import model
from mtf_unet import tpu_input
from mtf_unet import tpu_system
from tests.mtf_unet import jobs

# 16 cores on two hosts, each with the whole depth of half of the batch.
_CONFIG = jobs.config(
    data={'size': (16, 8, 4), 'augmentation': {}},
    mesh={'mesh_shape': 'b:2,x:4,y:2', 'layout': 'batch:b,x:x,y:y',
          'spatial_split': (1, 1, 1)},
    network={'levels': 1}, training={'batch_size': 4})
_PARTITION = layout.partition(_CONFIG.mesh)
_CASES = jobs.cases(4, _CONFIG)


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('blocks')
  done = []
  block_files.write(_CASES, _CONFIG, _PARTITION, folder,
                    lambda *progress: done.append(progress))
  assert done[-1] == (4, 4, 'case_3')
  return folder


def _elements(files, replicas, count, start_step=0):
  with tf.Graph().as_default():
    element = tf.compat.v1.data.make_one_shot_iterator(files.host_dataset(
        replicas, start_step=start_step)).get_next()
    with tf.compat.v1.Session() as session:
      return [session.run(element) for _ in range(count)]


def _hosts():
  system = tpu_system.made(16)
  return [tpu_input.host_replicas(system.assignment, host)
          for host in range(system.hosts)]


def _batches(files, steps):
  """What the cores of all hosts get in each of the first steps, joined."""
  shape = model.batch_shape(_CONFIG, 4)
  where = blocks.places(_PARTITION, layout.DIMS, shape)
  by_replica = {}
  for replicas in _hosts():
    found = _elements(files, replicas, steps * len(replicas))
    for number, element in enumerate(found):
      step, place = divmod(number, len(replicas))
      by_replica[step, replicas[place]] = element
  return [[blocks.join([by_replica[step, i][name] for i in range(16)], where,
                       shape) for name in ('image', 'label')]
          for step in range(steps)]


def _case_of(image, label):
  """Number and flips of the case that a volume is."""
  for number, case in enumerate(_CASES):
    for axes in itertools.chain.from_iterable(
        itertools.combinations(range(3), n) for n in range(4)):
      if np.array_equal(np.flip(case.image, axes), image):
        assert np.array_equal(np.flip(case.label, axes), label)
        return number, axes
  raise AssertionError('no case')


def test_blocks_of_all_hosts_are_whole_cases_each_once_in_an_epoch(folder):
  files = block_files.open_folder(str(folder), _CONFIG, _PARTITION)
  orders, flips = [], set()
  for batch in _batches(files, 4):
    found = [_case_of(*pair) for pair in zip(*batch)]
    assert sorted(number for number, _ in found) == [0, 1, 2, 3]
    orders.append([number for number, _ in found])
    flips |= {axes for _, axes in found}
  assert len(set(map(tuple, orders))) > 1
  assert len(flips) > 2


def test_a_step_is_the_same_wherever_the_training_began(folder):
  files = block_files.open_folder(str(folder), _CONFIG, _PARTITION)
  replicas = _hosts()[0]
  late = _elements(files, replicas, 1, start_step=2)[0]
  early = _elements(files, replicas, 2 * len(replicas) + 1)[-1]
  np.testing.assert_array_equal(late['image'], early['image'])


def test_elements_are_what_a_core_takes(folder):
  files = block_files.open_folder(str(folder), _CONFIG, _PARTITION)
  assert files.host_dataset([0], start_step=0).element_spec == (
      tpu_input.block_specs(_CONFIG, _PARTITION))


def test_no_python_is_needed_on_the_host(folder):
  files = block_files.open_folder(str(folder), _CONFIG, _PARTITION)
  with tf.Graph().as_default() as graph:
    tf.compat.v1.data.make_one_shot_iterator(
        files.host_dataset([0, 1], start_step=0))
    functions = graph.as_graph_def().library.function
  kinds = {node.op for function in functions for node in function.node_def}
  assert 'ReadFile' in kinds
  assert not {kind for kind in kinds if 'PyFunc' in kind}


def test_a_host_needs_the_files_of_its_own_cores_alone(tmp_path):
  """Without flips: the others are not even there."""
  still = jobs.config(
      data={'size': (16, 8, 4), 'augmentation': {
          'flip_axes': (), 'rotate_180': False}},
      mesh={'spatial_split': (4, 2, 1)}, network={'levels': 1})
  partition = layout.partition(still.mesh)
  block_files.write(_CASES, still, partition, tmp_path)
  own = [1, 2]
  names = {'-'.join(str(partition.block_of(i).get(dim, 0))
                    for dim in layout.SPATIAL) for i in own}
  for path in tmp_path.glob('*/*.block'):
    if path.stem not in names:
      path.unlink()
  files = block_files.open_folder(str(tmp_path), still, partition)
  assert len(_elements(files, own, 8)) == 8
  with pytest.raises(tf.errors.NotFoundError):
    _elements(files, [0], 1)


def test_a_damaged_file_is_named(folder, tmp_path):
  for path in folder.rglob('*.*'):
    copy = tmp_path / path.relative_to(folder)
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(path.read_bytes()[:-1]
                     if path.suffix == '.block' else path.read_bytes())
  files = block_files.open_folder(str(tmp_path), _CONFIG, _PARTITION)
  with pytest.raises(tf.errors.InvalidArgumentError,
                     match='damaged file.*block'):
    _elements(files, [0], 1)


def test_a_cut_that_was_stopped_leaves_no_index_of_an_older_one(tmp_path):
  block_files.write(_CASES, _CONFIG, _PARTITION, tmp_path)

  def stop(done, total, name):
    raise KeyboardInterrupt
  with pytest.raises(KeyboardInterrupt):
    block_files.write(_CASES[::-1], _CONFIG, _PARTITION, tmp_path, stop)
  with pytest.raises(errors.InputError, match='cut_volumes.py has filled'):
    block_files.open_folder(str(tmp_path), _CONFIG, _PARTITION)


@pytest.mark.parametrize('changes, words', [
    ({'data': {'normalization': 'window'}}, 'cut with normalization=zscore'),
    ({'data': {'folds': 5, 'fold': 1}}, 'cut with folds=0, expected 5'),
    ({'data': {'spacing_mm': (1.0, 1.0, 1.0)}}, 'cut with spacing_mm=None'),
    ({'mesh': {'mesh_shape': 'x:2', 'layout': 'x:x'}},
     r'spatial_split=\[4, 2, 1\], expected \[2, 1, 1\]'),
    ({'data': {'augmentation': {'noise_fine': 0.1}}},
     'noise_fine: got 0.1, expected 0: .* flip_axes and rotate_180 alone'),
    ({'network': {'dimensions': 2}}, 'got 2, expected 3 with block files'),
], ids=['normalization', 'fold', 'spacing', 'split', 'augmentation', '2-D'])
def test_another_experiment_is_refused(folder, changes, words):
  merged = {'data': {'size': (16, 8, 4), 'augmentation': {}},
            'mesh': {'mesh_shape': 'b:2,x:4,y:2', 'layout':
                     'batch:b,x:x,y:y', 'spatial_split': (1, 1, 1)}}
  for group, keys in changes.items():
    merged[group] = {**merged.get(group, {}), **keys}
  config = jobs.config(**merged)
  with pytest.raises(errors.InputError, match=words):
    block_files.open_folder(str(folder), config,
                            layout.partition(config.mesh))


@pytest.mark.parametrize('content', [None, '{', json.dumps({'cases': []})],
                         ids=['none', 'broken', 'no settings'])
def test_a_folder_without_an_index_is_refused(tmp_path, content):
  if content is not None:
    pathlib.Path(tmp_path, 'blocks.json').write_text(content)
  with pytest.raises(errors.InputError, match='cut_volumes.py has filled'):
    block_files.open_folder(str(tmp_path), _CONFIG, _PARTITION)
