"""The program of a TPU's cores against the unpartitioned network.

Programs run on the simulator. The first test compares with plain TensorFlow,
the second with the same job on a mesh of one CPU device.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from lamb import mesh as lamb_mesh
from mtf_unet import config as config_lib
from mtf_unet import dropout as dropout_lib
from mtf_unet import layout
from mtf_unet import losses
from mtf_unet import model
from mtf_unet import optimizers
from mtf_unet import unet
from mtf_unet.mtf_compat import mtf
from tests.mtf_unet import lowered
from tests.mtf_unet import plain_unet
from tests.mtf_unet import simd_bench

# One voxel of block is left at the last level along a dim that is cut in four.
_SIZE = (8, 4, 4)
_SHAPE = (2, *_SIZE)
_CHANNELS = 2
_CLASSES = 3
_NETWORK = config_lib.NetworkConfig(
    base_filters=2, levels=2, convolutions_per_level=1, epsilon=1e-3,
    dropout_keep=1.0)
_LOSS = config_lib.LossConfig()
_RANDOM = np.random.RandomState(0)
_ARRAYS = {
    'image': _RANDOM.randn(*_SHAPE, _CHANNELS).astype(np.float32),
    'label': _RANDOM.randint(0, _CLASSES, _SHAPE).astype(np.int32),
}
# Every mesh once, every optimizer on 2, 4 (or 2 more) and 8 cores.
_STEPS = {
    'x on 2 cores': 'adafactor', 'y on 2 cores': 'lamb',
    'z on 2 cores': 'adam', 'batch on 2 cores': 'lamb',
    'x and y on 4 cores': 'adafactor', 'batch and z on 4 cores': 'adam',
    'x, y and z on 8 cores': 'adafactor',
    'batch, x and y on 8 cores': 'lamb', 'x and y on 8 cores': 'adam'}
_QUICK = ('z on 2 cores', 'x and y on 4 cores', 'batch, x and y on 8 cores')


def _cases(choices, quick=_QUICK):
  """Parameters (mesh, choice); those that are not quick are marked slow."""
  return [
      pytest.param(simd_bench.MESHES[name], choice, id=f'{choice}, {name}',
                   marks=[] if name in quick and choice != 'instance' else
                   pytest.mark.slow)
      for name, choice in choices]


def _imported(mesh, mesh_impl, image, label):
  dims = list(map(mtf.Dimension, layout.DIMS, _SHAPE))
  channels = mtf.Dimension('image_channels', _CHANNELS)
  return [mtf.import_laid_out_tensor(
      mesh, mesh_impl.LaidOutTensor([tensor]), mtf.Shape(shape))
          for tensor, shape in ((image, [*dims, channels]), (label, dims))]


def _program(network_config):
  """Returns a program that gives back loss, logits and gradients."""
  def program(mesh, mesh_impl, image, label):
    image, label = _imported(mesh, mesh_impl, image, label)
    drop = dropout_lib.Dropout(1.0, 0, tf.constant(0, tf.int64))
    logits = unet.Network(network_config, _CLASSES, drop).logits(image)
    loss = losses.segmentation_loss(logits, label, _LOSS)['loss']
    grads = mtf.gradients([loss], [
        v.outputs[0] for v in mesh.graph.trainable_variables])
    lowering = mtf.Lowering(mesh.graph, {mesh: mesh_impl}, autostack=False)
    return lowering, [lowering.tensors[t].to_laid_out_tensor().one_slice
                      for t in [loss, logits, *grads]]
  return program


def _plain_loss(logits):
  """`losses.segmentation_loss` in plain TensorFlow."""
  label = _ARRAYS['label']
  truth = tf.one_hot(label, _CLASSES)
  log_p = tf.nn.log_softmax(logits)
  p = tf.exp(log_p)
  entropy = -tf.reduce_mean(
      tf.gather(_LOSS.class_weights, label)
      * tf.reduce_sum(truth * log_p, -1))

  def dice(axes):
    overlap, sums = [tf.reduce_sum(t, axes)[..., 2] for t in (
        p * truth, p + truth)]
    return (2 * overlap + _LOSS.dice_epsilon) / (sums + _LOSS.dice_epsilon)
  by_case = tf.reduce_mean(dice([1, 2, 3]))
  return (_LOSS.dice_weight * (1 - (by_case + dice([0, 1, 2, 3])) / 2)
          + (1 - _LOSS.dice_weight) * entropy)


def _plain(network_config, weights):
  """Returns [loss, logits, *gradients] of the whole volumes."""
  weights = {name: tf.constant(value) for name, value in weights.items()}
  with tf.GradientTape() as tape:
    tape.watch(weights)
    logits = plain_unet.logits(
        tf.constant(_ARRAYS['image']), network_config, weights)
    loss = _plain_loss(logits)
  grads = tape.gradient(loss, weights)
  return [t.numpy() for t in [loss, logits, *grads.values()]]


def _check(mesh, config):
  """Compares a step of the program with plain TensorFlow."""
  built = simd_bench.replicate(mesh, _ARRAYS, _program(config))
  weights = lowered.random_weights(built.lowering.graph)
  run = simd_bench.Run(built, _ARRAYS, mesh, weights)
  rows = run.step()
  run.close()
  expected = _plain(config, weights)
  lowered.assert_close(simd_bench.joined(rows, 1, mesh, _SHAPE), expected[1],
                       'logits')
  for came in rows:
    lowered.assert_close(came[0], expected[0], 'loss')
    for name, value, wanted in zip(weights, came[2:], expected[2:]):
      lowered.assert_close(value, wanted, f'gradient of {name}')


@pytest.mark.parametrize('mesh, kind', _cases(
    [(name, 'batch') for name in simd_bench.MESHES]
    + [(name, 'instance') for name in simd_bench.MESHES
       if not name.endswith('on 2 cores')]))
def test_loss_logits_and_gradients_equal_plain_ones(mesh, kind):
  _check(mesh, dataclasses.replace(_NETWORK, normalization=kind))


def test_activations_computed_again_leave_the_gradients_as_they_are():
  _check(simd_bench.MESHES['x and y on 4 cores'],
         dataclasses.replace(_NETWORK, recompute=(0, 1)))


def _lamb(rate, config, step):
  return lamb_mesh.LambOptimizer(rate, weight_decay=config.weight_decay,
                                 global_step=step)


_FACTORIES = {**optimizers.BUILT_IN, 'lamb': _lamb}


def _job(mesh, optimizer):
  return config_lib.Config(
      data=config_lib.DataConfig(size=_SIZE, channels=_CHANNELS),
      mesh=mesh, network=_NETWORK, loss=_LOSS,
      optimizer=config_lib.OptimizerConfig(
          name=optimizer, learning_rate=0.01, clip_norm=0.5,
          weight_decay=0.0 if optimizer == 'adafactor' else 0.1),
      training=config_lib.TrainingConfig(batch_size=_SHAPE[0], steps=10,
                                         ema_decay=0.5))


def _unpartitioned(optimizer, weights, steps):
  """Loss of each step and the variables after one, on one CPU device."""
  config = _job(config_lib.MeshConfig(), optimizer)
  with tf.Graph().as_default():
    graph = model.training_graph(
        config, layout.partition(config.mesh), [tf.constant(_ARRAYS['image'])],
        [tf.constant(_ARRAYS['label'])], _FACTORIES)
    with tf.compat.v1.Session() as session:
      session.run(tf.compat.v1.global_variables_initializer())
      for variable in graph.lowering.graph.all_variables:
        if variable.name in weights:
          initializer = variable.get_master().initializer
          session.run(initializer, {
              initializer.inputs[1]: weights[variable.name]})
      came = [session.run([graph.loss, graph.train_op])[0]]
      session.run(graph.lowering.copy_slices_to_masters())
      variables = {v.name: session.run(v.get_master())
                   for v in graph.lowering.graph.all_variables}
      came += [session.run([graph.loss, graph.train_op])[0]
               for _ in range(steps - 1)]
      return came, variables


def _training_program(config):
  def program(mesh, mesh_impl, image, label):
    del mesh  # The job makes its own.
    graph = model.training_graph(config, layout.partition(config.mesh),
                                 [image], [label], _FACTORIES,
                                 mesh_impl=mesh_impl)
    with tf.control_dependencies([graph.train_op]):
      return graph.lowering, [tf.identity(graph.loss)]
  return program


def _rounded(weights):
  """Where a gradient is so small that float32 leaves no digit of it.

  Adam and Adafactor divide a gradient by its own size. Where it is next to 0,
  its sign is rounding's, and so is the direction of the weight's first step.
  """
  names, grads = list(weights), _plain(_NETWORK, weights)[2:]
  largest = max(np.abs(grad).max() for grad in grads)
  return {name: np.abs(grad) < 1e-5 * largest
          for name, grad in zip(names, grads)}


def _assert_equal_weights(came, expected, weights):
  """Compares all variables; rounded gradients move weights either way."""
  assert set(came) == set(expected)
  rounded = _rounded(weights)
  for name, value in came.items():
    weight = name.removeprefix('ema/')
    hidden = rounded.get(weight, np.zeros(value.shape, bool))
    assert hidden.mean() < 0.02, name
    step = np.abs(expected[name] - weights.get(weight, 0.0)).max()
    assert np.abs(value - expected[name])[hidden].max(initial=0) <= 2 * step
    lowered.assert_close(np.where(hidden, expected[name], value),
                         expected[name], name)


@pytest.mark.parametrize('mesh, optimizer', _cases(
    _STEPS.items(), quick=['z on 2 cores']))
def test_a_step_equals_that_of_one_device(mesh, optimizer):
  built = simd_bench.replicate(
      mesh, _ARRAYS, _training_program(_job(mesh, optimizer)))
  weights = lowered.random_weights(built.lowering.graph)
  run = simd_bench.Run(built, _ARRAYS, mesh, weights)
  rows, variables = run.step(), run.variables()
  for slices in run.slices().values():
    for core in slices[1:]:
      np.testing.assert_array_equal(core, slices[0])
  after = run.step()
  run.close()
  losses, expected = _unpartitioned(optimizer, weights, 2)
  for cores, wanted in zip((rows, after), losses):
    np.testing.assert_allclose(np.ravel(cores), wanted, rtol=1e-4)
  _assert_equal_weights(variables, expected, weights)
