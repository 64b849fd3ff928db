import numpy as np
import pytest

from tests.lamb import problems
from tests.lamb import reference

tf = pytest.importorskip('tensorflow')
if not hasattr(tf.compat.v1, 'estimator'):
  pytest.skip('TensorFlow 2.16 and later have no Estimator',
              allow_module_level=True)

from lamb import errors  # noqa: E402
from lamb import estimator_lars  # noqa: E402

v1 = tf.compat.v1


@pytest.mark.parametrize('options', [{}, {'trust_coefficient': 0.001}])
def test_twenty_steps_are_within_1e_5(options):
  with tf.Graph().as_default(), v1.Session() as session:
    variables = {
        name: v1.get_variable(name, initializer=value, use_resource=True)
        for name, value in problems.weights().items()}
    holders = {name: v1.placeholder(tf.float32, each.shape)
               for name, each in variables.items()}
    update = estimator_lars.LarsOptimizer(
        0.01, exclude_from_weight_decay=problems.EXCLUSIONS,
        **options).apply_gradients(
            [(holders[name], variables[name]) for name in variables])
    session.run(v1.global_variables_initializer())
    for gradients in problems.gradients(20):
      session.run(update, {holders[name]: gradients[name]
                           for name in variables})
    actual = session.run(variables)
  expected = problems.expected(
      reference.lars, 20, float(np.float32(0.01)), options)
  for name, value in expected.items():
    assert reference.error(actual[name], value) < 1e-5, name


def test_sparse_gradient_is_made_dense():
  with tf.Graph().as_default(), v1.Session() as session:
    table = v1.get_variable('table', initializer=np.ones((3, 2), np.float32))
    update = estimator_lars.LarsOptimizer(0.1).minimize(
        tf.reduce_sum(tf.gather(table, [1, 1]) ** 2))
    session.run(v1.global_variables_initializer())
    session.run(update)
    found = session.run(table)
  assert found[1, 0] < found[0, 0] < 1  # untouched rows are decayed


def test_bad_setting_is_refused():
  with pytest.raises(errors.InputError, match='beta_1=1.0'):
    estimator_lars.LarsOptimizer(0.1, beta_1=1.0)
