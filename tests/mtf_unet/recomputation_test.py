"""Computed again or kept: the same numbers, and not before their time."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import dropout as dropout_lib
from mtf_unet import joining
from mtf_unet import recomputation
from mtf_unet import unet
from mtf_unet.mtf_compat import mtf
from tests.mtf_unet import lowered

_KEEPING = config_lib.NetworkConfig(base_filters=2, levels=2,
                                    convolutions_per_level=1, epsilon=1e-3)
_IMAGES = np.random.RandomState(0).randn(2, 8, 8, 4, 1).astype(np.float32)
_MESHES = {**lowered.MESHES, **lowered.MORE_MESHES}


def _logits(config):
  def build(images):
    drop = dropout_lib.Dropout(config.dropout_keep, 3,
                               tf.constant(5, tf.int64))
    return unet.Network(config, 3, drop).logits(images)
  return build


def _recomputing(*levels, **changes):
  return dataclasses.replace(_KEEPING, recompute=levels, **changes)


@pytest.mark.parametrize('kind, mesh, levels', [
    ('batch', '1x1x1', (0, 1)), ('batch', '2x2x1', (0,)),
    ('instance', '1x1x1', (1,)),
    pytest.param('instance', '2x2x1', (0, 1), marks=pytest.mark.slow),
    ('batch', 'batch 2 and 2x1x1', (0, 1))])
def test_gradients_under_dropout_equal_those_of_kept_activations(
    kind, mesh, levels):
  came, expected = (
      lowered.run_layer(_logits(config), _IMAGES, _MESHES[mesh], rewrite=True)
      for config in (_recomputing(*levels, normalization=kind),
                     dataclasses.replace(_KEEPING, normalization=kind)))
  lowered.assert_close(came.y, expected.y, 'logits', tolerance=1e-6)
  lowered.assert_close(came.dx, expected.dx, 'images', tolerance=1e-6)
  assert came.dweights.keys() == expected.dweights.keys()
  for name, gradient in came.dweights.items():
    lowered.assert_close(gradient, expected.dweights[name], name,
                         tolerance=1e-6)


def _kinds_run(config):
  """Counts the kinds of operations that TensorFlow runs in a step."""
  with lowered.bench(lowered.MESHES['1x1x1']) as b:
    y = _logits(config)(b.activation(_IMAGES))
    grads = mtf.gradients(
        [mtf.reduce_sum(y)],
        [v.outputs[0] for v in b.graph.trainable_variables])
    lowering = b.lower()
    fetches = [lowering.export_to_tf_tensor(t) for t in grads]
    metadata = tf.compat.v1.RunMetadata()
    with b.session(lowering, rewrite=True) as session:
      session.run(fetches, run_metadata=metadata, options=tf.compat.v1.
                  RunOptions(output_partition_graphs=True))
  return [node.op for graph in metadata.partition_graphs
          for node in graph.node]


def test_tensorflow_does_not_merge_the_second_computation_into_the_first():
  kept, again = _kinds_run(_KEEPING), _kinds_run(_recomputing(0, 1))
  assert kept.count('ConcatV2') == 1
  assert again.count('ConcatV2') == 2
  assert again.count('MaxPool3D') == 2 * kept.count('MaxPool3D')


def test_convolutions_are_not_computed_again():
  kept, again = _kinds_run(_KEEPING), _kinds_run(_recomputing(0, 1))
  convolutions = lambda kinds: sum('Conv3D' in k and 'Backprop' not in k
                                   for k in kinds)
  assert convolutions(again) == convolutions(kept)


def test_nothing_is_computed_again_before_the_gradient_has_come():
  with lowered.bench(lowered.MESHES['1x1x1']) as b:
    a = b.activation(_IMAGES)
    y = joining.join(a, a)
    gradient = b.activation(_IMAGES)
    recomputation.mark([y.operation])
    lowering = b.lower()
    after = lowering.tensors[gradient]
    again, = recomputation.again(lowering, y, after).tensor_list
    first, = lowering.tensors[y].tensor_list
    awaited = after.to_laid_out_tensor().tensor_list[0].op
  assert again is not first
  for source in again.op.inputs[:2]:
    assert source.op.control_inputs == [awaited]


def test_a_tensor_that_is_kept_is_handed_out_as_it_is():
  with lowered.bench(lowered.MESHES['1x1x1']) as b:
    a = b.activation(_IMAGES)
    y = joining.join(a, a)
    lowering = b.lower()
    assert not recomputation.is_recomputed(y)
    assert recomputation.again(
        lowering, y, lowering.tensors[a]) is lowering.tensors[y]
