"""Partitioned, not gathered: no device ever holds more than block and halo.

The lowered TensorFlow graph of a training step is read, not run, so the volume
may be large enough to dwarf every filter.
"""

import dataclasses
import math

import pytest
import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import dropout as dropout_lib
from mtf_unet import losses
from mtf_unet import unet
from mtf_unet.mtf_compat import mtf
from tests.mtf_unet import lowered

_CONFIG = config_lib.NetworkConfig(base_filters=4, levels=3)
_CLASSES = 3
# z is whole in every block, and 32, 16, 8 (34, 18, 10 with their padding)
# tell the level of a tensor.
_SIZE = (64, 48, 32)
_BLOCK = (32, 24, 32)
_HALO = 1


def _reach(level):
  """Block and halo at a level."""
  return [n // 2 ** level + 2 * _HALO for n in _BLOCK]


# The two concatenated halves at the first level: nothing is larger.
_LARGEST = math.prod(_reach(0)) * 2 * _CONFIG.base_filters


def _level_of(depth):
  levels = {n: level for level in range(_CONFIG.levels)
            for n in (_SIZE[2] // 2 ** level,
                      _SIZE[2] // 2 ** level + 2 * _HALO)}
  return levels.get(depth)


def _is_too_large(shape):
  """Whether a tensor of this static shape exceeds its block and halo."""
  if math.prod(shape) > _LARGEST:
    return True
  level = _level_of(shape[3]) if len(shape) == 5 else None
  return level is not None and any(
      n > reach for n, reach in zip(shape[1:4], _reach(level)))


def _gathered(operations):
  """Lists the tensors that are larger than a block and its halo."""
  tensors = [t for op in operations for t in op.outputs]
  return [f'{t.name} {t.shape}' for t in tensors
          if t.shape.is_fully_defined() and _is_too_large(t.shape.as_list())]


def _import(b, dtype, names, sizes, extra=()):
  blocks = [tf.compat.v1.placeholder(dtype, (1, *_BLOCK) + tuple(
      dim.size for dim in extra)) for _ in range(b.partition.mesh_size)]
  dims = [*map(mtf.Dimension, names, sizes), *extra]
  return mtf.import_laid_out_tensor(
      b.mesh, b.mesh_impl.LaidOutTensor(blocks), mtf.Shape(dims))


def _training_step(b, normalization):
  """Lowers loss and gradients; returns the lowering and the logits."""
  names, sizes = ('batch', 'x', 'y', 'z'), (1, *_SIZE)
  images = _import(b, tf.float32, names, sizes, [mtf.Dimension('image', 1)])
  labels = _import(b, tf.int32, names, sizes)
  config = dataclasses.replace(_CONFIG, normalization=normalization)
  drop = dropout_lib.Dropout(0.5, 0, tf.constant(0, tf.int64))
  logits = unet.Network(config, _CLASSES, drop).logits(images)
  loss = losses.segmentation_loss(logits, labels, config_lib.LossConfig())
  mtf.gradients([loss['loss']], [images] + [
      v.outputs[0] for v in b.graph.trainable_variables])
  return b.lower(), logits


@pytest.fixture(scope='module', name='step', params=['batch', 'instance'])
def _step(request):
  """Operations of a training step, and of one that gathers its logits."""
  with lowered.bench(lowered.split(2, 2, 1)) as b:
    lowering, logits = _training_step(b, request.param)
    graph = tf.compat.v1.get_default_graph()
    step = graph.get_operations()
    lowering.export_to_tf_tensor(logits)
    return step, graph.get_operations()


def test_no_device_holds_more_than_a_block_and_its_halo(step):
  operations, _ = step
  assert _gathered(operations) == []
  # Were shapes unknown, the test above would see nothing.
  unknown = [t.name for op in operations for t in op.outputs
             if t.consumers() and t.dtype == tf.float32
             and not t.shape.is_fully_defined()]
  assert unknown == []


def test_every_block_is_convolved_on_its_own_device(step):
  operations, _ = step
  devices = [op.device for op in operations if op.type == 'Conv3D']
  assert len(set(devices)) == 4
  assert len({devices.count(device) for device in devices}) == 1


def test_a_gathered_tensor_is_found(step):
  _, operations = step
  assert any('64, 48, 32, 3' in found for found in _gathered(operations))


@pytest.mark.parametrize('shape, found', [
    ([1, 34, 26, 34, 8], False),
    ([1, 64, 48, 32, 4], True),
    ([1, 64, 24, 32, 1], True),
    ([1, 18, 14, 16, 16], False),
    ([1, 32, 12, 16, 8], True),
    ([1, 16, 12, 8, 16], True),
    ([64 * 48 * 32, 1, 1, 4], True),
    ([3, 3, 3, 8, 16], False),
], ids=['block and halo', 'volume', 'two blocks of one channel',
        'level 1', 'two blocks of level 1', 'volume of level 2',
        'volume in another shape', 'filter'])
def test_shapes_are_judged_by_their_level(shape, found):
  assert _is_too_large(shape) == found
