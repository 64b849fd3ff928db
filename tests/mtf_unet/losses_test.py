"""The loss against numbers worked by hand and NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import dropout as dropout_lib
from mtf_unet import losses
from mtf_unet import slabs
from mtf_unet import unet
from mtf_unet.mtf_compat import mtf
from tests.mtf_unet import lowered

_CONFIG = config_lib.LossConfig()
_SHAPE = (2, 4, 4, 2)
_RNG = np.random.RandomState(0)
_LOGITS = (2 * _RNG.randn(*_SHAPE, 3)).astype(np.float32)
_LABELS = _RNG.randint(0, 3, _SHAPE).astype(np.int32)
_ALL_MESHES = {**lowered.MESHES, **lowered.MORE_MESHES}


def _run(logits=_LOGITS, labels=_LABELS, config=_CONFIG, mesh='1x1x1'):
  """Returns the loss' parts and its gradient to the logits."""
  with lowered.bench(_ALL_MESHES[mesh]) as b:
    dims = b.dims(labels.shape)
    classes = mtf.Dimension('classes', logits.shape[-1])
    x = mtf.import_tf_tensor(b.mesh, tf.constant(logits),
                             mtf.Shape(dims + [classes]))
    t = mtf.import_tf_tensor(b.mesh, tf.constant(labels), mtf.Shape(dims))
    parts = losses.segmentation_loss(x, t, config)
    dx, = mtf.gradients([parts['loss']], [x])
    lowering = b.lower()
    fetches = {name: lowering.export_to_tf_tensor(value)
               for name, value in {**parts, 'dx': dx}.items()}
    with b.session(lowering) as session:
      return session.run(fetches)


def _numpy_loss(logits, labels, config):
  """The formula of the reference in float64."""
  x = logits.astype(np.float64)
  p = np.exp(x - x.max(-1, keepdims=True))
  p /= p.sum(-1, keepdims=True)
  truth = np.eye(x.shape[-1])[labels]
  weights = np.array(config.class_weights or [1.0] * x.shape[-1])
  entropy = -(truth * weights * np.log(p)).sum(-1).mean()
  if not config.dice_classes:
    return config.dice_weight + (1 - config.dice_weight) * entropy
  space = tuple(range(1, labels.ndim))
  overlap, total = 2 * (p * truth).sum(space), (p + truth).sum(space)
  ratio = lambda a, b: (a + config.dice_epsilon) / (b + config.dice_epsilon)
  dice = (ratio(overlap, total).mean(0)
          + ratio(overlap.sum(0), total.sum(0))) / 2
  dice = dice[list(config.dice_classes)].mean()
  return config.dice_weight * (1 - dice) + (1 - config.dice_weight) * entropy


def _numpy_gradient(logits, labels, config, step=1e-5):
  """Central differences in float64."""
  x = logits.astype(np.float64)
  gradient = np.zeros_like(x)
  for index in np.ndindex(*x.shape):
    values = []
    for sign in (1, -1):
      moved = x.copy()
      moved[index] += sign * step
      values.append(_numpy_loss(moved, labels, config))
    gradient[index] = (values[0] - values[1]) / (2 * step)
  return gradient


_CONFIGS = {
    'reference': _CONFIG,
    'two classes': config_lib.LossConfig(0.5, (1, 2), class_weights=()),
    'Dice alone': config_lib.LossConfig(dice_weight=1.0),
    'entropy alone': config_lib.LossConfig(0.0, ()),
}


@pytest.fixture(scope='module', name='references')
def _references():
  return {name: (_numpy_loss(_LOGITS, _LABELS, config),
                 _numpy_gradient(_LOGITS, _LABELS, config))
          for name, config in _CONFIGS.items()}


@pytest.mark.parametrize('name, mesh', [
    *(('reference', mesh) for mesh in _ALL_MESHES),
    *((name, '2x2x1') for name in _CONFIGS if name != 'reference')])
def test_loss_and_gradient_equal_numpy(name, mesh, references):
  came = _run(config=_CONFIGS[name], mesh=mesh)
  loss, gradient = references[name]
  np.testing.assert_allclose(came['loss'], loss, rtol=1e-5)
  lowered.assert_close(came['dx'], gradient, 'gradient of the logits')


@pytest.mark.parametrize('name', _CONFIGS)
def test_slabs_of_unequal_size_add_up_to_the_same(name, references,
                                                  monkeypatch):
  # Three slabs of 1, 1 and 2 voxels along x.
  monkeypatch.setattr(slabs, 'along_x', lambda shape: [(0, 1), (1, 1), (2, 2)])
  came = _run(config=_CONFIGS[name])
  loss, gradient = references[name]
  np.testing.assert_allclose(came['loss'], loss, rtol=1e-5)
  lowered.assert_close(came['dx'], gradient, 'gradient of the logits')


@pytest.mark.parametrize('label, weight', [(0, 1.0), (1, 8.0), (2, 16.0)],
                         ids=['background', 'liver', 'lesion'])
def test_fault_1_classes_weigh_1_8_and_16(label, weight):
  # Equal logits: every class has probability 1/3.
  labels = np.full(_SHAPE, label, np.int32)
  came = _run(np.zeros_like(_LOGITS), labels)
  np.testing.assert_allclose(came['cross_entropy'], weight * np.log(3),
                             rtol=1e-5)


def test_dice_of_equal_logits_by_hand():
  # One case of 8 voxels, 2 of them lesion, each class 1/3 everywhere:
  # intersection 2/3, probability 8/3, voxels 2.
  labels = np.array([2, 2, 0, 0, 1, 1, 1, 0], np.int32).reshape(1, 2, 2, 2)
  came = _run(np.zeros([1, 2, 2, 2, 3], np.float32), labels)
  dice = (2 * 2 / 3 + 0.1) / (8 / 3 + 2 + 0.1)
  np.testing.assert_allclose(came['soft_dice'][2], dice, rtol=1e-5)
  np.testing.assert_allclose(came['dice_loss'], 1 - dice, rtol=1e-5)
  entropy = (3 * 1 + 3 * 8 + 2 * 16) * np.log(3) / 8
  np.testing.assert_allclose(came['loss'], 0.2 * (1 - dice) + 0.8 * entropy,
                             rtol=1e-5)


def test_global_and_case_dice_differ_where_cases_do():
  # Case 0 is all lesion and predicted so; case 1 is a lesion all missed.
  labels = np.full(_SHAPE, 2, np.int32)
  logits = np.zeros_like(_LOGITS)
  logits[0, ..., 2] = logits[1, ..., 0] = 50
  voxels = labels[0].size
  by_case = (1 + 0.1 / (voxels + 0.1)) / 2
  overall = (2 * voxels + 0.1) / (3 * voxels + 0.1)
  came = _run(logits, labels)
  np.testing.assert_allclose(came['soft_dice'][2], by_case, rtol=1e-5)
  np.testing.assert_allclose(came['dice_loss'], 1 - (by_case + overall) / 2,
                             rtol=1e-5)


def test_fault_6_an_empty_case_predicted_empty_costs_nothing():
  labels = np.zeros(_SHAPE, np.int32)
  logits = np.zeros_like(_LOGITS)
  logits[..., 0] = 50
  came = _run(logits, labels)
  np.testing.assert_allclose(came['soft_dice'][2], 1, rtol=1e-6)
  np.testing.assert_allclose(came['loss'], 0, atol=1e-6)
  assert np.all(np.isfinite(came['dx']))


def test_huge_logits_stay_finite():
  came = _run(1e4 * _LOGITS, mesh='2x2x1')
  assert np.all(np.isfinite(came['dx']))
  assert np.isfinite(came['loss'])


def test_fault_2_sums_of_a_bfloat16_network_are_float32():
  # bfloat16 counts no further than 256; here are 16 * 16 * 8 voxels a case.
  config = config_lib.NetworkConfig(base_filters=2, levels=1,
                                    activation_dtype='bfloat16')
  labels = np.ones((2, 16, 16, 8), np.int32)
  with lowered.bench(lowered.MESHES['2x2x1']) as b:
    drop = dropout_lib.Dropout(1.0, 0, tf.constant(0, tf.int64))
    logits = unet.Network(config, 3, drop).logits(
        b.activation(np.ones(labels.shape + (1,))))
    truth = mtf.import_tf_tensor(b.mesh, tf.constant(labels),
                                 mtf.Shape(b.dims(labels.shape)))
    sums = losses.class_sums(logits, truth, (1.0, 8.0, 16.0))
    assert {t.dtype for t in sums} == {tf.float32}
    lowering = b.lower()
    fetches = [lowering.export_to_tf_tensor(t) for t in sums]
    with b.session(lowering) as session:
      probability, _, voxels, _ = session.run(fetches)
  np.testing.assert_array_equal(voxels, [[0, 2048, 0]] * 2)
  np.testing.assert_allclose(probability.sum(-1), 2048, rtol=1e-5)
