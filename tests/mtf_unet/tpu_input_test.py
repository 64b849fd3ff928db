"""Every core gets its own block, and a host reads what its cores need."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import blocks
from mtf_unet import input_pipeline
from mtf_unet import layout
from mtf_unet import model
from mtf_unet import tpu_input
from mtf_unet import tpu_mesh
from tests.mtf_unet import jobs

# 32 cores on four hosts; a host then holds one half of x and one of y.
_MESH = {'mesh_shape': 'cores:2,rows:4,columns:4', 'spatial_split': (1, 1, 1),
         'layout': 'batch:cores,x:rows,y:columns'}


class _CountedSource:
  """Remembers which cases were read."""

  def __init__(self, cases):
    self._cases, self.read = cases, set()

  def __len__(self):
    return len(self._cases)

  def __getitem__(self, index):
    self.read.add(index)
    return self._cases[index]


def _elements(dataset, count):
  with tf.Graph().as_default():
    element = tf.compat.v1.data.make_one_shot_iterator(dataset()).get_next()
    with tf.compat.v1.Session() as session:
      return [session.run(element) for _ in range(count)]


def _batches(config, source, count, start_step):
  return _elements(lambda: input_pipeline.training_dataset(
      source, config.data, batch_size=config.training.batch_size,
      seed=config.training.seed, start_step=start_step,
      dimensions=config.network.dimensions), count)


def _joined_steps(config, source, steps, start_step):
  """What the cores of all hosts get, joined to batches."""
  partition = layout.partition(config.mesh)
  assignment = tpu_mesh.assignment(tpu_mesh.made_topology(partition.mesh_size))
  shape = model.batch_shape(config, config.training.batch_size)
  places = blocks.places(partition, model.dim_names(config), shape)
  by_replica = {}
  for host in range(assignment.topology.num_tasks):
    replicas = tpu_input.host_replicas(assignment, host)
    elements = _elements(lambda replicas=replicas: tpu_input.host_dataset(
        source, config, partition, replicas, start_step=start_step),
                         steps * len(replicas))
    for step, replica in itertools.product(range(steps), range(len(replicas))):
      by_replica[step, replicas[replica]] = elements[
          step * len(replicas) + replica]
  return [{name: blocks.join(
      [by_replica[step, replica][name]
       for replica in range(partition.mesh_size)], places, shape)
           for name in ('image', 'label')} for step in range(steps)]


@pytest.mark.parametrize('config', [
    jobs.config(data={'size': (16, 16, 8)}, mesh=_MESH,
                training={'batch_size': 4}),
    jobs.config(mesh={'spatial_split': (2, 2, 2)}),
    jobs.config(mesh={'spatial_split': (1, 2, 1), 'batch_split': 2}),
    jobs.config(mesh={'spatial_split': (2, 2, 1)}, network={'dimensions': 2},
                data={'neighbor_slices': 1}),
], ids=['32 cores on 4 hosts', '8 cores', 'batch and y', 'slices'])
def test_blocks_of_all_hosts_are_the_batch(config):
  source = jobs.cases(3, config)
  expected = _batches(config, source, 2, start_step=5)
  for came, wanted in zip(_joined_steps(config, source, 2, 5), expected):
    np.testing.assert_array_equal(came['image'], wanted['image'])
    np.testing.assert_array_equal(came['label'], wanted['label'])


def test_blocks_have_static_shapes_and_types_that_a_core_takes():
  config = jobs.config(mesh={'spatial_split': (2, 2, 1), 'batch_split': 2})
  dataset = tpu_input.host_dataset(
      jobs.cases(2, config), config, layout.partition(config.mesh), range(8),
      start_step=0)
  assert dataset.element_spec == {
      'image': tf.TensorSpec((1, 8, 8, 8, 1), tf.float32),
      'label': tf.TensorSpec((1, 8, 8, 8), tf.int32)}
  assert dataset.element_spec == tpu_input.block_specs(
      config, layout.partition(config.mesh))


@pytest.mark.parametrize('replicas, rows', [
    ([0, 1], [0, 1]), ([2, 3], [2, 3]), ([1, 2], [0, 1, 2, 3])],
                         ids=['first half', 'second half', 'both'])
def test_a_host_reads_only_the_cases_of_its_cores(replicas, rows):
  config = jobs.config(mesh={'spatial_split': (2, 1, 1), 'batch_split': 2},
                       training={'batch_size': 4})
  # One epoch is so long that prefetching does not read a case again.
  source = _CountedSource(jobs.cases(40, config))
  partition = layout.partition(config.mesh)
  host = tpu_input.HostBlocks(config, partition, replicas)
  assert host.rows == rows
  _elements(lambda: tpu_input.host_dataset(
      source, config, partition, replicas, start_step=0), len(replicas))
  order = input_pipeline.epoch_order(config.training.seed, 0, 40)
  others = {int(case) for number, case in enumerate(order)
            if number % 4 not in rows}
  assert {int(order[row]) for row in rows} <= source.read
  assert not source.read & others


def test_blocks_come_in_the_order_of_the_device_assignment():
  config = jobs.config(mesh={'spatial_split': (4, 1, 1)},
                       data={'size': (16, 16, 8), 'augmentation': {
                           'flip_axes': (), 'rotate_180': False}})
  case = jobs.cases(1, config)[0]
  numbered = np.zeros_like(case.image)
  numbered += np.arange(16)[:, None, None, None] // 4
  source = [dataclasses.replace(case, image=numbered)]
  elements = _elements(lambda: tpu_input.host_dataset(
      source, config, layout.partition(config.mesh), [2, 0, 3, 1],
      start_step=0), 8)
  assert [element['image'].mean() for element in elements] == [
      2, 0, 3, 1] * 2


def test_a_made_topology_names_each_core_of_each_host_once():
  assignment = tpu_mesh.assignment(tpu_mesh.made_topology(32))
  hosts = [tpu_input.host_replicas(assignment, host) for host in range(4)]
  assert [len(host) for host in hosts] == [8] * 4
  assert sorted(sum(hosts, [])) == list(range(32))
