"""The job of a made-up TPU, built whole by TPUEstimator and read."""

import collections
import dataclasses
import types

import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels
from tensorflow_estimator.python.estimator.tpu import tpu_estimator

from mtf_unet import block_files
from mtf_unet import errors
from mtf_unet import tpu_input
from mtf_unet import tpu_job
from mtf_unet import tpu_mesh
from mtf_unet import tpu_program
from mtf_unet import tpu_system
from tests.mtf_unet import jobs

_CORES = 16
# 16 cores are two hosts. A batch of 4 in 2 blocks is 2 cases in each of them.
_CONFIG = jobs.config(
    mesh={'spatial_split': (2, 2, 2), 'batch_split': 2},
    network={'levels': 2, 'convolutions_per_level': 1},
    training={'batch_size': 4, 'iterations_per_loop': 50,
              'save_every_steps': 20, 'summary_every_steps': 10})


def _job(model_dir='', config=_CONFIG, cores=_CORES):
  return tpu_job.TpuJob(config, str(model_dir),
                        system=tpu_system.made(cores))


@pytest.fixture(name='program', scope='module')
def _program():
  return tpu_program.build(_job())


def _of_type(program, kind):
  return [operation for operation in program.graph.get_operations()
          if operation.type == kind]


def _inside(program):
  return [operation for operation in program.graph.get_operations()
          if '_tpu_replicate' in operation.node_def.attr]


def test_each_core_is_fed_its_own_block_by_its_host(program):
  fed = collections.Counter()
  for operation in _of_type(program, 'InfeedEnqueueTuple'):
    fed[operation.device, operation.get_attr('device_ordinal')] += 1
    shapes = {tuple(dim.size for dim in shape.dim)
              for shape in operation.get_attr('shapes')}
    assert shapes == {(2, 8, 8, 4, 1), (2, 8, 8, 4)}
  assert fed == {(f'/job:tpu_worker/task:{host}/device:CPU:0', core): 1
                 for host in range(2) for core in range(8)}


@pytest.mark.parametrize('name, ended', [
    ('TPUInfeedOutfeedSessionHook', True), (None, False)],
                         ids=['as TPUEstimator has it', 'here'])
def test_the_tpu_is_left_running_until_the_last_checkpoint(name, ended):
  kind = getattr(tpu_estimator, name) if name else tpu_job._FeedHook
  context = types.SimpleNamespace(
      master_job='tpu_worker', embedding_config=None,
      model_parallelism_enabled=True, config=_job('folder')._run_config())
  with tf.Graph().as_default() as graph:
    tf.compat.v1.train.create_global_step()
    kind(context, [], [], tpu_compile_op=None).begin()
  assert ended == any(operation.type == 'ShutdownDistributedTPU'
                      for operation in graph.get_operations())
  assert name or tpu_job._FeedHook.get_stopping_signals_and_name({}) == (
      None, None)


def test_the_tpu_is_not_initialised_again(program):
  assert not _of_type(program, 'ConfigureDistributedTPU')


def test_steps_are_repeated_on_the_device(program):
  assert [operation for operation in _inside(program)
          if operation.type == 'LoopCond']
  # A checkpoint is due earlier than the loop's end would be.
  assert program.job.steps_per_run == 20


def test_master_weights_are_float32_on_the_hosts_and_saved(program):
  masters = [v for v in program.graph.get_collection(
      tf.compat.v1.GraphKeys.GLOBAL_VARIABLES) if v.dtype.is_floating]
  assert masters
  for variable in masters:
    assert variable.dtype == tf.float32
    assert 'CPU' in variable.device, variable
  saver, = program.graph.get_collection(tf.compat.v1.GraphKeys.SAVERS)
  save = program.graph.get_tensor_by_name(
      saver.saver_def.save_tensor_name).op
  names = save.control_inputs[0].inputs[1].op.node_def.attr['value'].tensor
  saved = {name.decode() for name in names.string_val}
  assert saved >= {variable.op.name for variable in masters}
  assert not any('_slice_' in name for name in saved)


def test_each_core_keeps_a_copy_of_every_weight(program):
  slices = collections.Counter(
      v.device for v in program.graph.get_collection('TPU_VAR'))
  assert len(slices) == _CORES
  assert len(set(slices.values())) == 1
  assert all('TPU' in device for device in slices)


def test_curves_and_the_picture_go_out_by_the_hosts(program):
  assert len(_of_type(program, 'OutfeedDequeueTuple')) == _CORES
  pictures = _of_type(program, 'WriteImageSummary')
  assert [p.device for p in pictures] == [
      '/job:tpu_worker/task:0/device:CPU:0']
  # [1, y, 3 x, rgb]: image, truth and prediction of the whole slice.
  assert pictures[0].inputs[3].shape == (1, 16, 48, 3)
  tags = {tf.make_ndarray(op.inputs[2].op.get_attr('value')).item().decode()
          for op in _of_type(program, 'WriteScalarSummary')}
  assert tags >= {'loss', 'cross_entropy', 'learning_rate',
                  'soft_dice/class_1'}


def test_every_operation_of_the_program_can_be_compiled(program):
  """TensorFlow has a kernel of its compiler's for each."""
  # They are registered when anything is compiled.
  tf.function(tf.negative, jit_compile=True)(tf.constant(1.0))
  # These are the TPU's own, which no other compiler has a kernel for.
  own = {'CollectivePermute', 'CrossReplicaSum', 'InfeedDequeueTuple',
         'OutfeedEnqueueTuple', 'TPUReplicateMetadata'}
  # What TensorFlow turns into functions before it compiles.
  loops = {'Enter', 'Exit', 'Merge', 'Switch', 'NextIteration', 'LoopCond'}
  for kind in {op.type for op in _inside(program)} - own - loops:
    found = kernels.get_registered_kernels_for_op(kind).kernel
    assert any('XLA' in kernel.device_type for kernel in found), kind


def test_control_flow_is_left_as_it_was(program):
  del program
  assert tf.compat.v1.control_flow_v2_enabled()


def test_what_is_told_of_the_job(program):
  lines = tpu_program.summary(program).splitlines()
  assert lines[:6] == [
      'TPU: 16 cores on 2 host(s), topology 4x2x1x2 (made up)',
      'Mesh: batch_blocks:2;x_blocks:2;y_blocks:2;z_blocks:2, layout '
      'batch:batch_blocks;x:x_blocks;y:y_blocks;z:z_blocks; one block, one '
      'program, each core',
      'Block: image 2x8x8x4x1 float32', 'Block: label 2x8x8x4 int32',
      'Batch: 4 volumes, which TPUEstimator counts as 32 (those of every '
      'block)', 'Loop: 20 steps on the device, then the hosts look']
  assert lines[6].startswith('Input: whole cases, read and cut by this process')
  assert lines[7].startswith('Host /job:tpu_worker/task:0/device:CPU:0: feeds')
  files = block_files.BlockFiles('/blocks', _CONFIG, program.job.partition,
                                 ('one', 'two'))
  assert 'Input: block files of /blocks, 2 cases;' in tpu_program.summary(
      dataclasses.replace(program, job=dataclasses.replace(
          program.job, files=files)))
  assert lines[-1].startswith('Collectives of a step, all: ')


def test_a_host_reads_only_what_its_cores_need():
  """16 cores: two hosts, each with one half of the volumes of every batch."""
  hosts = tpu_program.host_reads(_job(cores=_CORES, config=jobs.config(
      mesh={'mesh_shape': 'b:2,x:4,y:2', 'layout': 'batch:b,x:x,y:y',
            'spatial_split': (1, 1, 1)},
      network={'levels': 1}, training={'batch_size': 4})))
  assert sorted(sum([host.replicas for host in hosts], [])) == list(
      range(_CORES))
  for host in hosts:
    batches = {replica // 8 for replica in host.replicas}
    assert host.rows == [row for row in range(4) if row // 2 in batches]
    # float32 and int32, 2 volumes of 4 x 8 x 8 voxels for each of 8 cores.
    assert host.bytes == 8 * (4 + 4) * 2 * 4 * 8 * 8


def test_hosts_without_python_need_block_files():
  system = tpu_system.System(tpu_mesh.made_topology(_CORES), 'grpc://h:8470')
  job = dataclasses.replace(_job(), system=system)
  with pytest.raises(errors.InputError, match=(
      '--block_dir: expected it with the TPU of grpc://h:8470 .2 hosts.')):
    job.fit([], None, None)


def test_hosts_read_block_files_where_there_are_some():
  files = block_files.BlockFiles('/blocks', _CONFIG, _job().partition,
                                 ('one', 'two'))
  params = {'context': types.SimpleNamespace(current_host=1)}
  with tf.Graph().as_default() as graph:
    dataset = dataclasses.replace(_job(), files=files).dataset([], params)
    assert dataset.element_spec == tpu_input.block_specs(
        _CONFIG, files.partition)
    tf.compat.v1.data.make_one_shot_iterator(dataset)
    assert 'ReadFile' in str(graph.as_graph_def())


def test_a_mesh_of_another_size_is_refused():
  with pytest.raises(errors.InputError, match='each of the 8 cores'):
    _job(cores=8)


def test_a_size_that_cannot_be_cut_is_refused_before_anything_is_built():
  job = _job(cores=2, config=jobs.config(
      mesh={'spatial_split': (2, 1, 1)}, data={'size': (18, 16, 8)}))
  with pytest.raises(errors.InputError, match='16 or 20'):
    tpu_program.build(job)
