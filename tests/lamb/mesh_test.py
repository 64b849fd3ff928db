import importlib.util

import numpy as np
import pytest

from tests.lamb import problems
from tests.lamb import reference

if importlib.util.find_spec('mesh_tensorflow') is None:
  pytest.skip('Mesh-TensorFlow is not installed', allow_module_level=True)

import tensorflow.compat.v1 as tf  # noqa: E402

from lamb import mesh as lamb_mesh  # noqa: E402

mtf = lamb_mesh.mtf
from mesh_tensorflow import placement_mesh_impl  # noqa: E402

_SHAPE = (8, 4)
_STEPS = 20


def _train(options, mesh_shape='all:1', layout='', name='kernel'):
  """Runs LAMB on one variable, laid out on virtual CPU devices."""
  rng = np.random.default_rng(1)
  start = rng.standard_normal(_SHAPE).astype(np.float32)
  stream = [rng.standard_normal(_SHAPE).astype(np.float32)
            for _ in range(_STEPS)]
  shape = mtf.convert_to_shape(mesh_shape)
  with tf.Graph().as_default():
    graph = mtf.Graph()
    mesh = mtf.Mesh(graph, 'mesh')
    dims = mtf.Shape([mtf.Dimension('rows', 8), mtf.Dimension('columns', 4)])
    variable = mtf.get_variable(
        mesh, name, dims, initializer=tf.constant_initializer(start))
    holder = tf.placeholder(tf.float32, _SHAPE)
    step = tf.train.get_or_create_global_step()
    optimizer = lamb_mesh.LambOptimizer(
        0.01, exclude_from_weight_decay=['bias|kernel_x'], **options)
    updates = optimizer.apply_grads(
        [mtf.import_tf_tensor(mesh, holder, dims)], graph.trainable_variables)
    lowering = mtf.Lowering(graph, {mesh: placement_mesh_impl.PlacementMeshImpl(
        shape, mtf.convert_to_layout_rules(layout),
        [f'cpu:{i}' for i in range(shape.size)])})
    update = tf.group(
        [lowering.lowered_operation(each) for each in updates])
    with tf.control_dependencies([update]):
      update = tf.assign_add(step, 1)
    weights = lowering.export_to_tf_tensor(variable)
    options = tf.ConfigProto(device_count={'CPU': 4})
    with tf.Session(config=options) as session:
      session.run(tf.global_variables_initializer())
      session.run(lowering.copy_masters_to_slices())
      for gradient in stream:
        session.run(update, {holder: gradient})
      return start, stream, session.run(weights)


@pytest.mark.filterwarnings('ignore:exclude_from')
@pytest.mark.parametrize(
    'options', problems.LAMB_OPTIONS.values(), ids=problems.LAMB_OPTIONS)
def test_mesh_twenty_steps_are_within_1e_5(options):
  start, stream, actual = _train(options)
  expected = reference.lamb(start, stream, float(np.float32(0.01)), **options)
  assert reference.error(actual, expected[-1]) < 1e-5


@pytest.mark.filterwarnings('ignore:exclude_from')
@pytest.mark.parametrize('mesh_shape, layout', [
    pytest.param('a:2', 'rows:a', id='two_devices_rows'),
    pytest.param('a:2', 'columns:a', id='two_devices_columns'),
    pytest.param('a:2,b:2', 'rows:a,columns:b', id='four_devices_both'),
    pytest.param('a:4', 'rows:a', id='four_devices_rows'),
])
@pytest.mark.parametrize('norm', ['l2', 'linf'])
def test_mesh_update_does_not_depend_on_the_layout(mesh_shape, layout, norm):
  start, stream, actual = _train({'norm': norm}, mesh_shape, layout)
  expected = reference.lamb(start, stream, float(np.float32(0.01)), norm=norm)
  assert reference.error(actual, expected[-1]) < 1e-5


def test_mesh_excluded_variable_is_neither_decayed_nor_adapted():
  start, stream, actual = _train({}, name='bias')
  expected = reference.lamb(start, stream, float(np.float32(0.01)),
                            decays=False, adapts=False)
  assert reference.error(actual, expected[-1]) < 1e-5


def test_mesh_variable_without_gradient_is_left_alone():
  assert lamb_mesh.LambOptimizer(0.1).apply_grad(None, None) == []
