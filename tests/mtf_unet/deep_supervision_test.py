"""The loss of all levels, partitioned, against plain TensorFlow."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import architecture
from mtf_unet import checkpoints
from mtf_unet import config as config_lib
from mtf_unet import deep_supervision
from mtf_unet import dropout as dropout_lib
from mtf_unet import errors
from mtf_unet import unet
from mtf_unet.mtf_compat import mtf
from tests.mtf_unet import jobs
from tests.mtf_unet import lowered
from tests.mtf_unet import plain_unet

_CONFIG = config_lib.NetworkConfig(
    base_filters=2, levels=4, convolutions_per_level=1, dropout_keep=1.0,
    epsilon=1e-3, deep_supervision=2)
_LOSS = config_lib.LossConfig(dice_weight=0.5, dice_classes=(1, 2))
_IMAGES = np.random.RandomState(0).randn(2, 16, 16, 16, 1).astype(np.float32)
_LABELS = np.random.RandomState(1).randint(0, 3, _IMAGES.shape[:-1])
_MESHES = {**lowered.MESHES, **lowered.MORE_MESHES}
_QUICK = ('1x1x1', '2x2x1')


def _loss(images, config):
  """The partitioned network's loss."""
  drop = dropout_lib.Dropout(1.0, 0, tf.constant(0, tf.int64))
  network = unet.Network(config, 3, drop)
  logits = network.logits(images)
  labels = mtf.import_tf_tensor(
      images.mesh, tf.constant(_LABELS, tf.int32),
      mtf.Shape(images.shape.dims[:-1]))
  return deep_supervision.segmentation_loss(
      logits, network.coarse_logits, labels, _LOSS)['loss']


def _plain_level(logits, labels):
  """Cross entropy and the two Dice losses of one level."""
  space = list(range(1, labels.ndim))
  truth = tf.one_hot(labels, 3)
  p = tf.nn.softmax(logits)
  entropy = tf.reduce_mean(-tf.reduce_sum(
      truth * tf.constant(_LOSS.class_weights) * tf.nn.log_softmax(logits),
      -1))
  both, both_sums = (tf.reduce_sum(t, space) for t in (2 * p * truth,
                                                       p + truth))
  ratio = lambda a, b: (a + _LOSS.dice_epsilon) / (b + _LOSS.dice_epsilon)
  dice = (tf.reduce_mean(ratio(both, both_sums), 0)
          + ratio(tf.reduce_sum(both, 0), tf.reduce_sum(both_sums, 0))) / 2
  return 0.5 * (1 - tf.reduce_mean(dice[1:])) + 0.5 * entropy


def _plain_loss(images, config, weights):
  levels = plain_unet.all_logits(images, config, weights)
  parts = []
  for level, logits in enumerate(levels):
    step = 2**level
    place = (slice(None),) + (slice(step // 2, None, step),) * 3
    parts.append(_plain_level(logits, _LABELS[place]))
  return sum(part / 2**level for level, part in enumerate(parts)) / sum(
      1 / 2**level for level in range(len(parts)))


@pytest.mark.parametrize('mesh', [
    pytest.param(mesh, id=name,
                 marks=[] if name in _QUICK else pytest.mark.slow)
    for name, mesh in _MESHES.items() if name != '4x2x1'])
def test_loss_and_gradients_equal_plain_ones(mesh):
  came = lowered.run_layer(lambda x: _loss(x, _CONFIG), _IMAGES, mesh)
  assert {'head_1/kernel', 'head_2/bias'} <= set(came.dweights)
  # Sums of three losses through three levels round a little differently.
  lowered.assert_equal(came, lowered.plain(
      lambda x, **weights: _plain_loss(x, _CONFIG, weights), _IMAGES, came),
                       tolerance=5e-4)


def test_without_it_the_loss_is_that_of_the_finest_level():
  config = dataclasses.replace(_CONFIG, deep_supervision=0)
  came = lowered.run_layer(lambda x: _loss(x, config), _IMAGES,
                           lowered.MESHES['1x1x1'])
  assert not [name for name in came.weights if name.startswith('head_')]
  lowered.assert_equal(came, lowered.plain(
      lambda x, **weights: _plain_loss(x, config, weights), _IMAGES, came))


def test_heads_are_those_that_the_architecture_lists():
  with lowered.bench(lowered.MESHES['1x1x1']) as b:
    _loss(b.activation(_IMAGES), _CONFIG)
    built = {v.name: tuple(v.shape.to_integer_list)
             for v in b.graph.all_variables if v.name.startswith('head_')}
  listed = {v.name: v.shape
            for head in architecture.coarse_heads(_CONFIG, 3)
            for v in architecture.variables(head, _CONFIG)}
  assert built == listed


def test_prediction_builds_no_heads():
  with lowered.bench(lowered.MESHES['1x1x1']) as b:
    network = unet.Network(_CONFIG, 3)
    network.logits(b.activation(_IMAGES))
    names = [v.name for v in b.graph.all_variables]
  assert not network.coarse_logits
  assert 'head/kernel' in names
  assert not [name for name in names if name.startswith('head_')]


@pytest.mark.parametrize('levels, depth', [(4, 3), (2, 1), (1, 1), (4, -1)])
def test_levels_that_the_decoder_does_not_have_are_refused(levels, depth):
  with pytest.raises(errors.InputError, match='network.deep_supervision'):
    config_lib.NetworkConfig(levels=levels, deep_supervision=depth)


def test_checkpoints_fit_with_and_without_but_not_to_go_on_training(tmp_path):
  plain, deep = (jobs.config(network={'levels': 3, 'deep_supervision': depth})
                 for depth in (0, 1))
  checkpoints.write_config(str(tmp_path), deep)
  (tmp_path / 'model.ckpt-1.index').write_bytes(b'')
  checkpoints.check_folder(str(tmp_path), plain, training=False)
  with pytest.raises(errors.InputError, match='deep_supervision is 1 there'):
    checkpoints.check_folder(str(tmp_path), plain, training=True)
