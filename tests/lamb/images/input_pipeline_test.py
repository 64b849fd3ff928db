import dataclasses

import numpy as np
import pytest

from lamb import errors
from lamb.images import input_pipeline
from lamb.images import records
from tests.lamb.images import pictures


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  path = tmp_path_factory.mktemp('data')
  pictures.write(path)
  return {split: pictures.open_split(path, split)
          for split in ('train', 'test')}


def _batches(source, start_step, count):
  return list(input_pipeline.training_batches(
      source['train'], pictures.job_config(steps=12), start_step=start_step,
      batch_size=4).take(count).as_numpy_iterator())


def test_batches_depend_on_seed_and_step_alone(source):
  whole, resumed = _batches(source, 0, 10), _batches(source, 7, 3)
  for a, b in zip(whole[7:], resumed):
    np.testing.assert_array_equal(a['image'], b['image'])
    np.testing.assert_array_equal(a['label'], b['label'])
  assert not np.array_equal(whole[0]['image'], whole[1]['image'])


def test_there_are_as_many_batches_as_steps(source):
  assert len(_batches(source, 0, -1)) >= 12


@pytest.mark.parametrize('hosts', [1, 2])
def test_evaluation_sees_every_example_once(source, hosts):
  config, labels, lengths = pictures.job_config(), [], set()
  for index in range(hosts):
    batches = list(input_pipeline.evaluation_batches(
        source['test'], config, batch_size=2,
        host=records.Host(index, hosts)).as_numpy_iterator())
    lengths.add(len(batches))
    labels += [label for batch in batches for label, weight in zip(
        batch['label'], batch['weight']) if weight]
  assert sorted(labels) == sorted(np.arange(pictures.TEST) % pictures.CLASSES)
  steps = input_pipeline.evaluation_steps(source['test'], config, hosts)
  assert lengths == {steps * 4 // hosts // 2}


def test_hosts_that_do_not_divide_the_batch_are_refused(source):
  config = pictures.job_config()
  with pytest.raises(errors.InputError, match='a multiple of the 3 hosts'):
    input_pipeline.training_batches(
        source['train'], config, start_step=0, batch_size=4,
        host=records.Host(0, 3))
  with pytest.raises(errors.InputError, match='eval_batch_size: got 4'):
    input_pipeline.evaluation_steps(source['test'], config, 3)


def test_imagenet_pictures_have_the_networks_size(source):
  config = pictures.job_config()
  config = dataclasses.replace(config, data=dataclasses.replace(
      config.data, augmentation='imagenet', image_size=8))
  batch = next(input_pipeline.training_batches(
      source['train'], config, start_step=0, batch_size=4
  ).as_numpy_iterator())
  assert batch['image'].shape == (4, 8, 8, 3)
