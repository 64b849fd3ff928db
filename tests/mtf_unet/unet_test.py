"""The whole partitioned network against the same one in plain tf.nn."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import convolution
from mtf_unet import dropout as dropout_lib
from mtf_unet import normalization
from mtf_unet import unet
from mtf_unet.mtf_compat import mtf
from tests.mtf_unet import lowered
from tests.mtf_unet import plain_unet

_CLASSES = 3
_SMALL = config_lib.NetworkConfig(base_filters=4, levels=3, dropout_keep=1.0,
                                  epsilon=1e-3)
# Fault 9 of the reference: neither a cube nor one channel.
_IMAGES = np.random.RandomState(0).randn(2, 16, 8, 8, 2).astype(np.float32)
# On 4x2x1 the deepest blocks are 1 voxel thin, as thin as their halo.
_MESHES = {**lowered.MESHES, **lowered.MORE_MESHES}
_QUICK = ('1x1x1', '2x2x1')


def _network(config, *, training=True):
  drop = dropout_lib.Dropout(config.dropout_keep, 0,
                             tf.constant(0, tf.int64)) if training else None
  return unet.Network(config, _CLASSES, drop)


def _check(config, images, mesh, *, rewrite=False):
  came = lowered.run_layer(lambda x: _network(config).logits(x), images, mesh,
                           rewrite=rewrite)
  lowered.assert_equal(came, lowered.plain(
      lambda x, **weights: plain_unet.logits(x, config, weights), images,
      came))


@pytest.mark.parametrize('kind, mesh', [
    pytest.param(kind, mesh, id=f'{kind} {name}',
                 marks=[] if name in _QUICK else pytest.mark.slow)
    for kind in ('batch', 'instance') for name, mesh in _MESHES.items()])
def test_network_and_gradients_equal_plain_ones(kind, mesh):
  _check(dataclasses.replace(_SMALL, normalization=kind), _IMAGES, mesh)


def test_network_stays_equal_where_tensorflow_rewrites_the_graph():
  _check(_SMALL, _IMAGES, lowered.MESHES['2x2x1'], rewrite=True)


@pytest.mark.parametrize('mesh', [
    lowered.MESHES_2D['2x2'],
    pytest.param(lowered.MESHES_2D['4x2'], marks=pytest.mark.slow)],
    ids=['2x2', '4x2'])
def test_slices_in_two_dimensions_equal_plain_ones(mesh):
  _check(dataclasses.replace(_SMALL, dimensions=2), _IMAGES[:, :, :, 0], mesh)


def _predicted(mesh, config=_SMALL, dtype='float32'):
  config = dataclasses.replace(config, activation_dtype=dtype)
  with lowered.bench(mesh) as b:
    logits = _network(config, training=False).logits(b.activation(_IMAGES))
    assert logits.dtype == tf.float32
    lowering = b.lower()
    whole = lowering.export_to_tf_tensor(logits)
    weights = lowered.random_weights(b.graph)
    with b.session(lowering, weights) as session:
      return session.run(whole)


@pytest.fixture(scope='module', name='prediction')
def _prediction():
  return _predicted(lowered.MESHES['1x1x1'])


@pytest.mark.parametrize('name', [
    '2x2x1', pytest.param('4x2x1', marks=pytest.mark.slow)])
def test_prediction_does_not_depend_on_the_mesh(name, prediction):
  lowered.assert_close(_predicted(lowered.MESHES[name]), prediction, 'logits')


def test_bfloat16_comes_near_float32(prediction):
  came = _predicted(lowered.MESHES['2x2x1'], dtype='bfloat16')
  lowered.assert_close(came, prediction, 'logits', tolerance=0.05)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_fault_2_weights_are_float32_in_master_and_slices(dtype):
  config = dataclasses.replace(_SMALL, activation_dtype=dtype)
  with lowered.bench(lowered.MESHES['2x2x1']) as b:
    _network(config).logits(b.activation(_IMAGES))
    for variable in b.graph.all_variables:
      assert variable.master_dtype == tf.float32
      assert variable.slice_dtype == tf.float32
      assert variable.get_master().dtype.base_dtype == tf.float32


def test_fault_2_updates_too_small_for_bfloat16_accumulate():
  # Beside a weight of 1 bfloat16 loses any step below 2^-9.
  rate, steps = 1e-6, 8
  dtype = mtf.VariableDType(tf.float32, tf.float32, tf.bfloat16)
  with lowered.bench(lowered.MESHES['2x2x1']) as b:
    y = convolution.convolution(
        b.activation(_IMAGES, tf.bfloat16), mtf.Dimension('filters', 4),
        kernel_size=3, variable_dtype=dtype)
    variables = b.graph.trainable_variables
    grads = mtf.gradients([y], [v.outputs[0] for v in variables])
    updates = mtf.optimize.SgdOptimizer(rate).apply_grads(grads, variables)
    lowering = b.lower()
    operations = [lowering.lowered_operation(update) for update in updates]
    gradient = tf.cast(lowering.export_to_tf_tensor(grads[0]), tf.float32)
    ones = {v.name: np.ones(v.shape.to_integer_list) for v in variables}
    with b.session(lowering, ones) as session:
      for _ in range(steps):
        session.run(operations)
      slope = session.run(gradient)
      weight = session.run(variables[0].get_master())
  assert 0 < rate * np.abs(slope).max() < 2 ** -9
  np.testing.assert_allclose(1 - weight, steps * rate * slope,
                             atol=0.02 * steps * rate * np.abs(slope).max())


def test_nothing_is_dropped_after_the_very_first_convolution():
  with lowered.bench(lowered.MESHES['1x1x1']) as b:
    _network(dataclasses.replace(_SMALL, dropout_keep=0.5)).logits(
        b.activation(_IMAGES))
  masked = [len(op.outputs) == 2 for op in b.graph.operations
            if isinstance(op, normalization.NormalizeOperation)]
  assert masked == [False] + [True] * 9
  dropped = [op for op in b.graph.operations
             if isinstance(op, dropout_lib.DropoutOperation)]
  assert len(dropped) == _SMALL.levels - 1


def test_images_of_another_rank_are_refused():
  with (lowered.bench(lowered.MESHES['1x1x1']) as b,
        pytest.raises(ValueError, match='expected batch, 2 spatial dims')):
    config = dataclasses.replace(_SMALL, dimensions=2)
    _network(config).logits(b.activation(_IMAGES))
