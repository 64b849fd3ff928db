import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import mesh as mesh_lib
from mtf_unet import optimizers
from mtf_unet.mtf_compat import mtf

_SHAPE = (3, 4)
_STEPS = 5


def _lowered(build):
  """Builds on a mesh of one CPU; returns a session and what was built."""
  graph = mtf.Graph()
  mesh = mtf.Mesh(graph, 'mesh')
  built = build(mesh)
  lowering = mtf.Lowering(graph, {mesh: mesh_lib.placement_mesh(
      layout.partition(config_lib.MeshConfig()))}, autostack=False)
  session = tf.compat.v1.Session()
  session.run(tf.compat.v1.global_variables_initializer())
  return session, [
      lowering.lowered_operation(one) if isinstance(one, mtf.Operation)
      else lowering.export_to_tf_tensor(one) for one in built]


def _trained(make, start, grads):
  """Applies an optimizer to given gradients; returns the final weights."""
  with tf.Graph().as_default():
    step = tf.compat.v1.placeholder(tf.int64, [])
    grad = tf.compat.v1.placeholder(tf.float32, start.shape)

    def build(mesh):
      shape = mtf.Shape([mtf.Dimension(f'd{i}', n)
                         for i, n in enumerate(start.shape)])
      mtf.get_variable(mesh, 'w', shape, initializer=(
          tf.compat.v1.constant_initializer(start)))
      return make(step).apply_grad(mtf.import_tf_tensor(mesh, grad, shape),
                                   mesh.graph.all_variables[0])
    session, updates = _lowered(build)
    with session:
      for t, value in enumerate(grads):
        session.run(updates, {step: t, grad: value})
      return session.run(tf.compat.v1.trainable_variables()[0])


def _numpy_adam(w, grads, rate, decay):
  """Kingma and Ba, Algorithm 1, in float64, with decoupled decay."""
  w = w.astype(np.float64)
  m, v = np.zeros_like(w), np.zeros_like(w)
  for t, g in enumerate(grads, start=1):
    g = g.astype(np.float64)
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    step = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    w = w - rate * (step + (decay if w.ndim > 1 else 0) * w)
  return w


@pytest.mark.parametrize('shape', [_SHAPE, (4,)], ids=['matrix', 'vector'])
@pytest.mark.parametrize('decay', [0.0, 0.1])
def test_adam_equals_float64_numpy(shape, decay):
  rng = np.random.default_rng(0)
  start = rng.normal(size=shape).astype(np.float32)
  # Gradients over eight orders of magnitude.
  grads = (rng.normal(size=(_STEPS,) + shape) * 10.0**rng.integers(
      -4, 4, shape)).astype(np.float32)
  result = _trained(
      lambda step: optimizers.AdamOptimizer(0.01, step, weight_decay=decay),
      start, grads)
  np.testing.assert_allclose(
      result, _numpy_adam(start, grads, 0.01, decay), atol=2e-6)


def test_first_adam_step_is_the_learning_rate_whatever_the_gradient():
  grads = np.array([[1e-3, -5.0, 2e4]], np.float32)
  result = _trained(lambda step: optimizers.AdamOptimizer(0.5, step),
                    np.zeros(3, np.float32), grads)
  np.testing.assert_allclose(result, [-0.5, 0.5, -0.5], rtol=1e-4)


@pytest.mark.parametrize('clip, expected', [
    (2.5, [[1.5], [2.0]]), (5.0, [[3.0], [4.0]]), (50.0, [[3.0], [4.0]])],
                         ids=['above', 'at', 'below'])
def test_gradients_are_scaled_by_their_joint_norm(clip, expected):
  with tf.Graph().as_default():
    def build(mesh):
      one = mtf.Shape([mtf.Dimension('one', 1)])
      return optimizers.clip_by_global_norm(
          [mtf.import_tf_tensor(mesh, [value], one) for value in (3.0, 4.0)],
          clip)
    session, grads = _lowered(build)
    with session:
      np.testing.assert_allclose(session.run(grads), expected, rtol=1e-6)


def test_gradients_of_zero_stay_zero():
  with tf.Graph().as_default():
    def build(mesh):
      one = mtf.Shape([mtf.Dimension('one', 1)])
      return optimizers.clip_by_global_norm(
          [mtf.import_tf_tensor(mesh, [0.0], one)], 1.0)
    session, grads = _lowered(build)
    with session:
      np.testing.assert_array_equal(session.run(grads), [[0.0]])


def _make(name, factories=optimizers.BUILT_IN, **keys):
  config = config_lib.OptimizerConfig(name=name, **keys)
  return optimizers.make(config, tf.constant(0.1), tf.constant(0), factories)


def test_names_choose_the_optimizer():
  assert isinstance(_make('adafactor'), mtf.optimize.AdafactorOptimizer)
  assert isinstance(_make('adam'), optimizers.AdamOptimizer)
  assert _make('mine', {'mine': lambda *_: 'made'}) == 'made'


@pytest.mark.parametrize('keys, words', [
    ({'name': 'sgd'}, "'sgd', expected one of adafactor, adam"),
    ({'name': 'adafactor', 'weight_decay': 0.1}, 'optimizer.weight_decay'),
], ids=['unknown', 'decay that would be ignored'])
def test_what_cannot_be_made_is_refused(keys, words):
  with pytest.raises(errors.InputError, match=words):
    _make(**keys)
