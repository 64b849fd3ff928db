"""Processors that share a memory train as those that share nothing.

GPU names make memories of their own; soft placement runs them on the CPU.
"""

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import layout
from mtf_unet import mesh as mesh_lib
from mtf_unet import shared_memory_mesh
from mtf_unet.mtf_compat import mtf
from tests.mtf_unet import lowered

_SPLIT = lowered.split(2, 2, 1)
_ONE_MEMORY = [f'/device:CPU:{i}' for i in range(4)]
_TWO_MEMORIES = [f'/device:GPU:{i // 2}' for i in range(4)]
_FOUR_MEMORIES = [f'/device:GPU:{i}' for i in range(4)]
_WORKERS = [f'/job:worker/task:{i // 2}/device:CPU:{i % 2}' for i in range(4)]
_DEVICES = pytest.mark.parametrize(
    'devices', [_ONE_MEMORY, _TWO_MEMORIES, _FOUR_MEMORIES],
    ids=['one memory', 'two memories', 'four memories'])
_DIMS = {'batch': 2, 'x': 4, 'y': 6, 'out': 3}


def _impl(devices, cls=shared_memory_mesh.SharedMemoryMeshImpl):
  partition = layout.partition(_SPLIT)
  return cls(mtf.convert_to_shape(partition.mesh_shape_string()),
             mtf.convert_to_layout_rules(partition.layout_string()), devices)


def _placement(devices):
  return _impl(devices, mtf.placement_mesh_impl.PlacementMeshImpl)


def _shape(*names):
  return mtf.Shape([mtf.Dimension(name, _DIMS[name]) for name in names])


def _random(shape, seed):
  return np.random.RandomState(seed).randn(
      *shape.to_integer_list).astype(np.float32)


def _model(mesh, dtype):
  """Loss of a small regression; of its weights one is cut, one is not."""
  x, y = _shape('batch', 'x', 'y'), _shape('batch', 'out')
  images, truth = [mtf.import_tf_tensor(mesh, tf.constant(_random(s, i)), s)
                   for i, s in enumerate((x, y))]
  weight = mtf.get_variable(mesh, 'cut', _shape('x', 'y', 'out'), dtype=dtype)
  bias = mtf.get_variable(mesh, 'whole', _shape('out'), dtype=dtype)
  return mtf.reduce_sum(
      mtf.square(mtf.einsum([images, weight], y) + bias - truth))


def _trained(impl, steps=3, dtype=lowered.FLOAT32):
  """Returns the masters after some steps, and how many slices there are."""
  with lowered.bench(_SPLIT, impl) as b:
    loss = _model(b.mesh, dtype)
    variables = b.graph.trainable_variables
    grads = mtf.gradients([loss], [v.outputs[0] for v in variables])
    updates = mtf.optimize.SgdOptimizer(0.01).apply_grads(grads, variables)
    lowering = b.lower()
    operations = [lowering.lowered_operation(update) for update in updates]
    masters = {v.name: v.get_master() for v in variables}
    start = {v.name: _random(v.shape, 7) for v in variables}
    with b.session(lowering, start) as session:
      for _ in range(steps):
        session.run(operations)
      session.run(lowering.copy_slices_to_masters())
      return session.run(masters), len(lowered.slices(lowering))


@pytest.fixture(scope='module', name='reference')
def _reference():
  return _trained(_placement(_ONE_MEMORY))


@_DEVICES
def test_training_equals_that_of_placement_mesh(devices, reference):
  came, _ = _trained(_impl(devices))
  for name, value in came.items():
    np.testing.assert_allclose(value, reference[0][name], rtol=1e-5,
                               atol=1e-6)


@pytest.mark.parametrize('devices, count', [
    (_ONE_MEMORY, 4), (_TWO_MEMORIES, 4 + 2), (_FOUR_MEMORIES, 4 + 4)],
    ids=['one memory', 'two memories', 'four memories'])
def test_a_whole_variable_has_one_slice_in_each_memory(devices, count):
  # The cut one has four slices anyhow; in one memory the master serves.
  assert _trained(_impl(devices), steps=0)[1] == count


def test_slices_of_another_dtype_are_kept_beside_the_master():
  dtype = mtf.VariableDType(tf.float32, tf.bfloat16, tf.float32)
  assert _trained(_impl(_ONE_MEMORY), steps=0, dtype=dtype)[1] == 4 + 1


def test_masters_survive_the_way_to_the_slices_and_back():
  for devices in (_ONE_MEMORY, _FOUR_MEMORIES):
    masters, _ = _trained(_impl(devices), steps=0)
    for value in masters.values():
      np.testing.assert_array_equal(
          value, np.random.RandomState(7).randn(*value.shape).astype(
              np.float32))


@_DEVICES
@pytest.mark.parametrize('reduction', ['SUM', 'MAX'])
@pytest.mark.parametrize('axes', [[0], [1], [0, 1], []],
                         ids=['rows', 'columns', 'both', 'none'])
def test_allreduce_equals_that_of_placement_mesh(devices, reduction, axes):
  values = np.random.RandomState(8).randn(4, 5).astype(np.float32)
  with tf.Graph().as_default():
    results = []
    for impl in (_impl(devices), _placement(devices)):
      x = impl.LaidOutTensor([tf.constant(value) for value in values])
      results.append(impl.allreduce(x, axes, reduction).tensor_list)
    config = mesh_lib.session_config(layout.partition(_SPLIT))
    with tf.compat.v1.Session(config=config) as session:
      came, expected = session.run(results)
  np.testing.assert_allclose(came, expected, rtol=1e-6)


@pytest.mark.parametrize('devices, count', [
    (_ONE_MEMORY, 1), (_TWO_MEMORIES, 2), (_FOUR_MEMORIES, 4)],
    ids=['one memory', 'two memories', 'four memories'])
def test_equal_inputs_are_computed_once_in_each_memory(devices, count):
  calls = []
  with tf.Graph().as_default():
    impl = _impl(devices)
    impl.slicewise(lambda x: calls.append(x) or x,
                   impl.LaidOutTensor([tf.constant(1.0)] * 4))
  assert len(calls) == count


def test_different_inputs_are_never_taken_for_equal():
  with tf.Graph().as_default():
    impl = _impl(_ONE_MEMORY)
    x = impl.LaidOutTensor([tf.constant(float(i)) for i in range(4)])
    doubled = impl.slicewise(lambda x: 2 * x, x).tensor_list
    config = mesh_lib.session_config(layout.partition(_SPLIT))
    with tf.compat.v1.Session(config=config) as session:
      assert session.run(doubled) == [0, 2, 4, 6]


def _crossing_elements(graph):
  """Sums the sizes of what operations read from another worker's memory."""
  task = lambda op: tf.DeviceSpec.from_string(op.device).task
  return sum(
      source.shape.num_elements() for op in graph.get_operations()
      for source in op.inputs
      if None not in (task(op), task(source.op))
      and task(op) != task(source.op))


def _crossing_in_allreduce(impl, devices, size):
  with tf.Graph().as_default() as graph:
    x = []
    for device in devices:
      with tf.device(device):
        x.append(tf.zeros([size]))
    impl.allreduce(impl.LaidOutTensor(x), [0, 1], 'SUM')
    return _crossing_elements(graph)


def test_only_partial_sums_travel_between_workers():
  # Neighbours on the ring lie in different workers.
  size, devices = 64, [_WORKERS[i] for i in (0, 2, 1, 3)]
  shared = _crossing_in_allreduce(_impl(devices), devices, size)
  # One partial sum there and one back.
  assert shared == 2 * size
  assert shared < _crossing_in_allreduce(_placement(devices), devices, size)


def test_constants_do_not_travel_and_values_do():
  with lowered.bench(_SPLIT, _impl(_WORKERS)) as b, tf.device(_WORKERS[0]):
    shape = mtf.Shape([])
    for value in (tf.constant(0.5), tf.constant(0.5) + tf.random.normal([])):
      imported = mtf.import_tf_tensor(b.mesh, value, shape)
      mtf.assign(mtf.get_variable(b.mesh, f'v{len(b.graph.all_variables)}',
                                  shape), imported)
    lowering = b.lower()
    constant, drawn = [
        [tf.DeviceSpec.from_string(tensor.device).task for tensor in
         lowering.tensors[operation.outputs[0]].tensor_list]
        for operation in b.graph.operations
        if isinstance(operation, mtf.ImportOperation)]
  assert constant == [0, 0, 1, 1]
  assert drawn == [0, 0, 0, 0]


def test_each_worker_holds_and_updates_its_own_slices():
  with lowered.bench(_SPLIT, _impl(_WORKERS)) as b:
    _model(b.mesh, lowered.FLOAT32)
    lowering = b.lower()
    tasks = [tf.DeviceSpec.from_string(s.device).task
             for s in lowered.slices(lowering)]
  # Two parts of the cut variable and one whole one in each of two workers.
  assert sorted(tasks) == [0] * 3 + [1] * 3
