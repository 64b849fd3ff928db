"""The collectives of a program: found, counted, and held down."""

import json

import pytest
import tensorflow as tf
from tensorflow.python.tpu.ops import tpu_ops

from configs.mtf_unet import lits_128
from mtf_unet import architecture
from mtf_unet import collectives
from mtf_unet import config as config_lib
from mtf_unet import step_cost
from mtf_unet import tpu_job
from mtf_unet import tpu_mesh
from mtf_unet import tpu_program
from mtf_unet import tpu_system
from tests.mtf_unet import jobs


def _find(computation, cores=4):
  with tf.Graph().as_default() as graph:
    tf.compat.v1.tpu.replicate(
        computation, [[tf.constant([1.0, 2.0])]] * cores,
        device_assignment=tpu_mesh.assignment(tpu_mesh.made_topology(cores)))
  return collectives.find(graph, ['conv'])


def test_kind_bytes_groups_and_layer_are_read_off():
  def computation(x):
    with tf.name_scope('conv/gradients'):
      x = tpu_ops.cross_replica_sum(x, [[0, 2], [1, 3]])
    with tf.name_scope('class_sums'):
      return tpu_ops.collective_permute(x, [[0, 1], [1, 2]])
  total, sent = _find(computation)
  assert (total.kind, total.layer, total.backward) == ('sum', 'conv', True)
  assert (total.shape, total.bytes) == ((2,), 8)
  assert total.groups == ((0, 2), (1, 3))
  assert (sent.kind, sent.layer, sent.backward) == ('permute', 'loss', False)
  assert sent.received() == {1: 8, 2: 8}
  assert total.received() == dict.fromkeys(range(4), 8)


def test_what_nobody_needs_is_not_counted():
  def computation(x):
    tpu_ops.cross_replica_sum(x, [[0, 1, 2, 3]])
    return x + 1.0
  assert _find(computation) == []


def test_a_sum_that_was_put_off_belongs_to_what_is_summed():
  def computation(x):
    with tf.name_scope('conv'):
      x = x * 2.0
    return tpu_ops.cross_replica_sum(tf.negative(x), [[0, 1, 2, 3]])
  assert [one.layer for one in _find(computation)] == ['conv']


def test_the_busiest_core_is_the_one_told():
  one = collectives.Collective('permute', 'conv', False, (2,), 8,
                               ((0, 1), (1, 2)), 'a')
  other = collectives.Collective('permute', 'conv', False, (2,), 8,
                                 ((2, 1), (1, 0)), 'b')
  assert collectives.received([one, other]) == 16
  assert collectives.totals([one, other]) == {
      kind: {'count': 2, 'bytes': 16, 'received': 16}
      for kind in ('permute', 'all')}
  assert '| conv | forward | permute | 2 pairs | 2 | 16 | 16 |' in (
      collectives.table([one, other]))
  assert json.loads(json.dumps(collectives.as_json([one])))[
      'collectives'][0]['layer'] == 'conv'


def _waits_for(operation):
  """Everything that an operation waits for, by name."""
  found, waiting = set(), [operation]
  while waiting:
    for one in collectives.ancestors(waiting.pop()):
      if one.name not in found:
        found.add(one.name)
        waiting.append(one)
  return found


@pytest.fixture(name='small', scope='module')
def _small():
  config = jobs.config(
      mesh={'spatial_split': (4, 2, 1)}, data={'size': (16, 8, 4)},
      network={'levels': 2, 'convolutions_per_level': 1})
  return tpu_program.build(tpu_job.TpuJob(config, '',
                                          system=tpu_system.made(8)))


def test_both_directions_of_an_exchange_can_overlap(small):
  operations = small.graph.get_operation_by_name
  exchanges = {}
  for one in small.collectives:
    if one.kind == 'permute':
      scope = one.name.rpartition('/')[0]
      exchanges.setdefault((scope, one.shape), []).append(one)
  assert exchanges
  for pair in exchanges.values():
    forth, back = pair
    assert set(forth.groups) == {(b, a) for a, b in back.groups}
    for one, other in (pair, pair[::-1]):
      assert one.name not in _waits_for(operations(other.name))


def test_an_exchange_sends_the_margin_alone(small):
  """One voxel along the axis; along the axes before it the widened block."""
  blocks = {'encoder_0_0': (4, 4, 4), 'encoder_1_0': (2, 2, 2),
            'decoder_0_0': (4, 4, 4)}
  for one in small.collectives:
    if one.kind == 'permute':
      x, y, z = blocks[one.layer]
      assert one.shape[1:-1] in {(1, y, z), (x + 2, 1, z)}
  by_layer = {one.layer for one in small.collectives if one.kind == 'permute'}
  assert by_layer == set(blocks)


@pytest.fixture(name='lits', scope='module')
def _lits():
  config = config_lib.from_mapping(lits_128.get_config())
  return tpu_program.build(tpu_job.TpuJob(config, '',
                                          system=tpu_system.made(32)))


@pytest.mark.slow
def test_the_128_cube_sends_no_more_than_it_did(lits):
  """Whoever makes it send less lowers the figures here."""
  totals = collectives.totals(lits.collectives)
  assert totals['permute'] == {
      'count': 108, 'bytes': 246693888, 'received': 246693888}
  assert totals['sum']['count'] == 83
  assert totals['sum']['bytes'] == 22415796
  assert set(totals) == {'permute', 'sum', 'all'}


@pytest.mark.slow
def test_the_planner_foresees_the_margins(lits):
  config, partition = lits.job.config, lits.job.partition
  cost = step_cost.cost(config, partition)
  margins = [one for one in lits.collectives if one.kind == 'permute']
  assert collectives.received(margins) == cost.device('margins')


@pytest.mark.slow
def test_each_layer_sends_what_the_paper_says_and_no_more(lits):
  """Two margins for each split axis before a convolution and its gradient."""
  layers = architecture.layers(lits.job.config.network, 1, 3)
  for number, layer in enumerate(layers):
    found = [one for one in lits.collectives if one.layer == layer.name]
    permutes = [one.backward for one in found if one.kind == 'permute']
    convolution = layer.kind == architecture.CONVOLUTION
    assert permutes.count(False) == (4 if convolution else 0)
    assert permutes.count(True) == (4 if convolution and number else 0)
