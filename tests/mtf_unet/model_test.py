import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import blocks
from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import mesh as mesh_lib
from mtf_unet import model
from mtf_unet import optimizers
from tests.mtf_unet import jobs

_CONFIG = jobs.config(
    mesh={'spatial_split': (2, 1, 1)}, network={'levels': 1},
    optimizer={'schedule': 'polynomial', 'learning_rate': 0.01,
               'warmup_steps': 0},
    training={'steps': 4, 'ema_decay': 0.5, 'batch_size': 1})


@pytest.mark.parametrize('changes, names, shape, channels', [
    ({}, ('batch', 'x', 'y', 'z'), (4, 16, 16, 8), 1),
    ({'network': {'dimensions': 2},
      'data': {'neighbor_slices': 2, 'channels': 3}},
     ('batch', 'x', 'y'), (4, 16, 16), 15),
], ids=['3-D', '2-D'])
def test_shapes_follow_the_mode(changes, names, shape, channels):
  config = jobs.config(**changes)
  assert model.dim_names(config) == names
  assert model.batch_shape(config, 4) == shape
  assert model.image_channels(config) == channels


@pytest.mark.parametrize('size, levels, dimensions, words', [
    ((16, 16, 8), 2, 3, None), ((16, 16, 7), 2, 2, None),
    ((16, 16, 7), 2, 3, 'along z .* nearest that works: 6 or 8'),
    ((12, 16, 8), 4, 3, 'along x .* nearest that works: 16'),
], ids=['fits', '2-D leaves z alone', 'z', 'x'])
def test_sizes_are_checked_against_pools_and_split(size, levels, dimensions,
                                                   words):
  config = jobs.config(
      data={'size': size}, mesh={'spatial_split': (2, 1, 1)},
      network={'levels': levels, 'dimensions': dimensions})
  partition = layout.partition(config.mesh)
  if words is None:
    model.check(config, partition, size, 1)
    return
  with pytest.raises(errors.InputError, match=words):
    model.check(config, partition, size, 1)


@pytest.fixture(scope='module')
def trained():
  """Three steps: (weights, averages) before the first and after each."""
  partition = layout.partition(_CONFIG.mesh)
  case = jobs.cases(1, _CONFIG)[0]
  shape = model.batch_shape(_CONFIG, 1)
  where = blocks.places(partition, model.dim_names(_CONFIG), shape)
  with tf.Graph().as_default(), tf.compat.v1.Session(
      config=mesh_lib.session_config(partition)) as session:
    graph = model.training_graph(
        _CONFIG, partition,
        [tf.constant(case.image[None][place]) for place in where],
        [tf.constant(case.label[None][place]) for place in where],
        optimizers.BUILT_IN)
    averages = {v.op.name: v for v in tf.compat.v1.global_variables()
                if v.op.name.startswith('ema/')}
    weights = {f'ema/{v.op.name}': v
               for v in tf.compat.v1.trainable_variables()
               if f'ema/{v.op.name}' in averages}
    session.run(tf.compat.v1.global_variables_initializer())
    session.run(graph.lowering.copy_masters_to_slices())
    history = [session.run((weights, averages))]
    scalars = []
    for _ in range(3):
      scalars.append(session.run((graph.train_op, graph.scalars))[1])
      history.append(session.run((weights, averages)))
    step = session.run(tf.compat.v1.train.get_global_step())
  return history, scalars, step


def test_a_step_raises_the_global_step_and_reports_scalars(trained):
  _, scalars, step = trained
  assert step == 3
  assert set(scalars[0]) == {
      'loss', 'cross_entropy', 'dice_loss', 'learning_rate',
      'soft_dice/class_0', 'soft_dice/class_1', 'soft_dice/class_2'}
  rates = [values['learning_rate'] for values in scalars]
  assert rates == pytest.approx([0.01, 0.0075, 0.005])
  assert all(np.isfinite(values['loss']) for values in scalars)


def test_every_weight_moves_and_has_an_average(trained):
  history, _, _ = trained
  (first, averages), (last, _) = history[0], history[-1]
  assert first.keys() == averages.keys()
  assert len(first) == 8
  assert all(not np.array_equal(first[name], last[name]) for name in first)


def test_averages_follow_the_weights_before_each_update(trained):
  """a += (1 - d) (w - a) with d = min(0.5, t / (t + 10))."""
  history, _, _ = trained
  for t in range(3):
    weights, averages = history[t]
    decay = min(0.5, t / (t + 10))
    for name, average in history[t + 1][1].items():
      np.testing.assert_allclose(
          average, decay * averages[name] + (1 - decay) * weights[name],
          atol=1e-6, err_msg=name)


def test_every_weight_is_read_once_before_its_update():
  """A second read may see the old value or the new one."""
  partition = layout.partition(_CONFIG.mesh)
  with tf.Graph().as_default() as graph:
    images = [tf.zeros((1, 8, 16, 8, 1))] * 2
    labels = [tf.zeros((1, 8, 16, 8), tf.uint8)] * 2
    model.training_graph(_CONFIG, partition, images, labels,
                         optimizers.BUILT_IN)
    weights = {v.handle.op.name for v in tf.compat.v1.trainable_variables()}
    # Left out: what variables bring along, and the updates themselves.
    readers = [op.inputs[0].op.name for op in graph.get_operations()
               if op.type == 'ReadVariableOp' and '/Read/' not in op.name
               and not op.name.startswith('assign')]
  assert weights
  assert {name: readers.count(name) for name in weights} == dict.fromkeys(
      weights, 1)


def test_an_unknown_optimizer_is_refused_while_building():
  config = dataclasses.replace(_CONFIG, optimizer=dataclasses.replace(
      _CONFIG.optimizer, name='sgd'))
  partition = layout.partition(config.mesh)
  images = [tf.zeros((1, 8, 16, 8, 1))] * 2
  labels = [tf.zeros((1, 8, 16, 8), tf.uint8)] * 2
  with tf.Graph().as_default(), pytest.raises(errors.InputError,
                                              match="'sgd'"):
    model.training_graph(config, partition, images, labels,
                         optimizers.BUILT_IN)
