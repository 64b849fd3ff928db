"""The simulator against arithmetic done by hand, on programs of few ops."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.tpu import training_loop
from tensorflow.python.tpu.ops import tpu_ops

from mtf_unet import convolution
from mtf_unet import tpu_mesh
from mtf_unet import tpu_system
from mtf_unet.mtf_compat import mtf
from tests.mtf_unet import lowered
from tests.mtf_unet import simd_bench
from tests.mtf_unet import simd_simulator


def _run(computation, inputs, fetches=None):
  """Runs a computation of one tensor a core; one row of results a core."""
  with tf.Graph().as_default() as graph:
    assignment = tpu_mesh.assignment(tpu_mesh.made_topology(len(inputs)))
    outputs = tf.compat.v1.tpu.replicate(
        computation, [[tf.constant(x)] for x in inputs],
        device_assignment=assignment)
    initialize = tf.compat.v1.global_variables_initializer()
  simulator = simd_simulator.Simulator(graph)
  simulator.run([initialize])
  return [simulator.run(row) for row in outputs]


_ROWS = [np.arange(4, dtype=np.float32) + 10 * core for core in range(4)]


def test_a_sum_stays_within_its_group():
  rows = _run(lambda x: tpu_ops.cross_replica_sum(x, [[0, 2], [3, 1]]), _ROWS)
  for core, (came,) in enumerate(rows):
    other = {0: 2, 2: 0, 1: 3, 3: 1}[core]
    np.testing.assert_array_equal(came, _ROWS[core] + _ROWS[other])


def test_a_core_that_nobody_sends_to_receives_zeros():
  pairs = [[0, 1], [1, 2], [2, 3]]
  rows = _run(lambda x: tpu_ops.collective_permute(x, pairs), _ROWS)
  expected = [np.zeros(4), *_ROWS[:3]]
  for (came,), wanted in zip(rows, expected):
    np.testing.assert_array_equal(came, wanted)


def test_all_to_all_sends_piece_i_to_the_ith_of_the_group():
  rows = _run(lambda x: tpu_ops.all_to_all(
      x[None], concat_dimension=0, split_dimension=1, split_count=2,
      group_assignment=[[0, 1], [3, 2]]), _ROWS)
  for group in ([0, 1], [3, 2]):
    for place, core in enumerate(group):
      np.testing.assert_array_equal(
          rows[core][0],
          [_ROWS[m][2 * place:2 * place + 2] for m in group])


def test_the_same_tensor_may_enter_twice_beside_a_control_input():
  def square(x):
    with tf.control_dependencies([x + 1.0]):
      return tf.multiply(x, x)
  for (came,), row in zip(_run(square, _ROWS), _ROWS):
    np.testing.assert_array_equal(came, row ** 2)


def test_a_variable_of_all_cores_is_written_once():
  def count(x):
    step = tf.compat.v1.train.get_or_create_global_step()
    before = tf.cast(step.read_value(), tf.float32)
    with tf.control_dependencies([before]):
      written = step.assign_add(1, read_value=False)
    with tf.control_dependencies([written]):
      return x + before, tf.cast(step.read_value(), tf.float32)
  with tf.Graph().as_default() as graph:
    tf.compat.v1.train.get_or_create_global_step()
    outputs = tf.compat.v1.tpu.replicate(
        count, [[tf.constant(0.0)]] * 4,
        device_assignment=tpu_mesh.assignment(tpu_mesh.made_topology(4)))
    initialize = tf.compat.v1.global_variables_initializer()
  simulator = simd_simulator.Simulator(graph)
  simulator.run([initialize])
  flat = [tensor for row in outputs for tensor in row]
  for before in range(3):
    assert simulator.run(flat) == [before, before + 1] * 4


@pytest.fixture(name='single_operations')
def _single_operations():
  """Loops as a TPU job has them, not as functions."""
  tf.compat.v1.disable_control_flow_v2()
  yield
  tf.compat.v1.enable_control_flow_v2()


def test_cores_meet_in_every_iteration_of_a_loop(single_operations):
  del single_operations

  def swap(i, x):
    return i + 1, tpu_ops.collective_permute(x, [[0, 1], [1, 0]]) + 1.0

  def repeat(x):
    return training_loop.while_loop(lambda i, x: i < 3, swap, [0, x])[1]
  (first,), (second,) = _run(repeat, _ROWS[:2])
  np.testing.assert_array_equal(first, _ROWS[1] + 3)
  np.testing.assert_array_equal(second, _ROWS[0] + 3)


def test_infeed_and_outfeed_join_a_core_with_its_host():
  def double(x):
    fed, = tpu_ops.infeed_dequeue_tuple([tf.float32], [[4]])
    with tf.control_dependencies([tpu_ops.outfeed_enqueue_tuple([2 * fed])]):
      return tf.identity(x)
  with tf.Graph().as_default() as graph:
    system = tpu_system.made(16)
    out = tf.compat.v1.tpu.replicate(
        double, [[tf.constant(0.0)]] * 16,
        device_assignment=system.assignment)
    put, got = [], []
    for core in range(16):
      with tf.device(system.assignment.host_device(replica=core)):
        ordinal = system.assignment.tpu_ordinal(replica=core)
        put.append(tf.raw_ops.InfeedEnqueueTuple(
            inputs=[tf.fill([4], float(core))], shapes=[[4]],
            device_ordinal=ordinal))
        got += tf.raw_ops.OutfeedDequeueTuple(
            dtypes=[tf.float32], shapes=[[4]], device_ordinal=ordinal)
  simulator = simd_simulator.Simulator(graph)
  simulator.run(put)
  simulator.run([out[0][0]])
  for core, came in enumerate(simulator.run(got)):
    np.testing.assert_array_equal(came, [2.0 * core] * 4)


@pytest.mark.parametrize('computation, operation', [
    (lambda x: x + tf.random.uniform([4]), 'RandomUniform'),
    (lambda x: tf.compat.v1.tpu.outside_compilation(tf.print, x) or x,
     'PrintV2|StringFormat'),
    (lambda x: tf.raw_ops.InfeedDequeue(dtype=tf.float32, shape=[4]) + x,
     'InfeedDequeue'),
    (tf.function(lambda x: x + 1.0), 'PartitionedCall'),
], ids=['random numbers of the device', 'host call', 'infeed', 'function'])
def test_an_operation_without_a_rule_is_named(computation, operation):
  with pytest.raises(simd_simulator.UnsupportedError,
                     match=f'no rule for the operation .*({operation})'):
    _run(computation, _ROWS)


@pytest.mark.parametrize('computation, message', [
    (lambda x: tpu_ops.cross_replica_sum(x, [[0, 1], [2, 2]]),
     'expected every core once'),
    (lambda x: tpu_ops.collective_permute(x, [[0, 1], [2, 1]]),
     'expected every target once'),
    (lambda x: tpu_ops.all_to_all(x, 0, 0, 2, [[0, 1], [2, 2]]),
     'expected every core once'),
], ids=['sum', 'permute', 'all to all'])
def test_groups_that_no_tpu_would_take_are_refused(computation, message):
  with pytest.raises(simd_simulator.UnsupportedError, match=message):
    _run(computation, _ROWS)


def test_a_graph_without_a_program_is_refused():
  with pytest.raises(simd_simulator.UnsupportedError,
                     match='0 programs of tpu.replicate, expected one'):
    simd_simulator.Simulator(tf.Graph())


@pytest.mark.parametrize('name', list(simd_bench.MESHES))
def test_a_convolution_equals_that_of_the_whole_volume(name):
  rng = np.random.RandomState(0)
  x = rng.randn(2, 8, 8, 4, 2).astype(np.float32)
  kernel = rng.randn(3, 3, 3, 2, 3).astype(np.float32)
  mesh_config = simd_bench.MESHES[name]

  def program(mesh, mesh_impl, block):
    dims = list(map(mtf.Dimension, ('batch', 'x', 'y', 'z', 'c'), x.shape))
    images = mtf.import_laid_out_tensor(
        mesh, mesh_impl.LaidOutTensor([block]), mtf.Shape(dims))
    y = convolution.convolution(
        images, mtf.Dimension('filters', 3), kernel_size=3,
        variable_dtype=lowered.FLOAT32)
    lowering = mtf.Lowering(mesh.graph, {mesh: mesh_impl}, autostack=False)
    return lowering, [lowering.tensors[y].one_slice]

  with simd_bench.run(mesh_config, {'x': x}, program,
                      {'kernel': kernel}) as run:
    came = simd_bench.joined(run.step(), 0, mesh_config, x.shape[:4])
  lowered.assert_close(
      came, tf.nn.conv3d(x, kernel, [1] * 5, 'SAME').numpy(), 'output')
