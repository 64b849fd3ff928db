"""Runs layers on a mesh of virtual CPU devices and compares them with TF.

Every comparison is float32 with differences measured against the largest
value, which is what the partitioned layers promise to equal.
"""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import dataclasses
import math

import numpy as np
import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import layout
from mtf_unet import mesh as mesh_lib
from mtf_unet.mtf_compat import mtf

TOLERANCE = 1e-4
FLOAT32 = mtf.VariableDType()


def split(*blocks: int, batch: int = 1,
          devices: int | None = None) -> config_lib.MeshConfig:
  """Returns the mesh that cuts x, y, z (those left out whole) and batch."""
  spatial = blocks + (1,) * (3 - len(blocks))
  return config_lib.MeshConfig(spatial_split=spatial, batch_split=batch,
                               devices=devices)


# Named meshes for parametrised tests: those that every layer has to equal plain
# TensorFlow on; a batch split beside a spatial one and more blocks than
# devices; and two for the 2-D mode.
MESHES = {
    '1x1x1': split(1, 1, 1),
    '2x1x1': split(2, 1, 1),
    '2x2x1': split(2, 2, 1),
    '2x2x2': split(2, 2, 2),
    '4x2x1': split(4, 2, 1),
}
MORE_MESHES = {
    'batch 2 and 2x1x1': split(2, 1, 1, batch=2),
    '2x2x1 on 2 devices': split(2, 2, 1, devices=2),
}
MESHES_2D = {'2x2': split(2, 2), '4x2': split(4, 2)}


class Bench:
  """A Mesh-TensorFlow graph over a mesh, to build on, lower and run."""

  def __init__(self, mesh_config: config_lib.MeshConfig, mesh_impl=None):
    self.partition = layout.partition(mesh_config)
    self.graph = mtf.Graph()
    self.mesh = mtf.Mesh(self.graph, 'mesh')
    self.mesh_impl = mesh_impl or mesh_lib.placement_mesh(self.partition)

  def dims(self, shape: Sequence[int]) -> list[mtf.Dimension]:
    """Names the dims of [batch, *spatial]."""
    return list(map(mtf.Dimension, layout.DIMS, shape))

  def activation(self, x: np.ndarray, dtype=tf.float32) -> mtf.Tensor:
    """Imports [batch, *spatial, channels]."""
    dims = self.dims(x.shape[:-1]) + [mtf.Dimension('channels', x.shape[-1])]
    return mtf.import_tf_tensor(self.mesh, tf.constant(x, dtype),
                                mtf.Shape(dims))

  def lower(self) -> mtf.Lowering:
    """Lowers what has been built so far."""
    return mtf.Lowering(self.graph, {self.mesh: self.mesh_impl},
                        autostack=False)

  @contextlib.contextmanager
  def session(self, lowering: mtf.Lowering,
              weights: dict[str, np.ndarray] | None = None, *,
              rewrite: bool = False):
    """Opens a session in which the variables hold the given weights.

    TensorFlow's rewriting of the graph takes longer than running it, so it is
    left out but where asked for.
    """
    config = mesh_lib.session_config(self.partition)
    config.graph_options.rewrite_options.disable_meta_optimizer = not rewrite
    with tf.compat.v1.Session(config=config) as session:
      session.run(tf.compat.v1.global_variables_initializer())
      session.run(tf.compat.v1.variables_initializer(slices(lowering)))
      for variable in self.graph.all_variables:
        if weights and variable.name in weights:
          master = variable.get_master()
          session.run(master.initializer, {
              master.initializer.inputs[1]: weights[variable.name]})
      session.run(lowering.copy_masters_to_slices())
      yield session


def slices(lowering: mtf.Lowering) -> list[tf.Variable]:
  """Lists the variables that hold slices, those that are masters left out."""
  masters = [v.get_master() for v in lowering.graph.all_variables]
  found = {id(s): s for v in lowering.graph.all_variables
           for s in lowering.variables[v].laid_out_tensor.all_slices}
  return [s for key, s in found.items() if key not in set(map(id, masters))]


@contextlib.contextmanager
def bench(mesh_config: config_lib.MeshConfig, mesh_impl=None):
  """Opens a Bench in a TensorFlow graph of its own."""
  with tf.Graph().as_default():
    tf.compat.v1.set_random_seed(1)
    yield Bench(mesh_config, mesh_impl)


@dataclasses.dataclass(frozen=True)
class Result:
  """A layer's run: all NumPy.

  Attributes:
    y: the output.
    dx: the gradient to the input.
    dweights: the gradients to the variables, by name.
    dy: the gradient to the output that was fed.
    weights: the variables' values, by name.
  """
  y: np.ndarray
  dx: np.ndarray
  dweights: dict[str, np.ndarray]
  dy: np.ndarray
  weights: dict[str, np.ndarray]


def random_weights(graph: mtf.Graph) -> dict[str, np.ndarray]:
  """Draws values for the trainable variables.

  Filters keep the size of what goes through them; norm scales lie around 1
  and offsets around 0, not at them, which would hide a gradient that mixes
  them up. A scale near 0 would make float32 ties in the channel, to all of
  which the gradient of TensorFlow's max pooling gives the full value.
  """
  rng = np.random.RandomState(5)
  weights = {}
  for variable in graph.trainable_variables:
    shape = variable.shape.to_integer_list
    mean = 1.0 if variable.name.endswith('gamma') else 0.0
    deviation = math.prod(shape[:-1]) ** -0.5 if len(shape) > 1 else 0.2
    weights[variable.name] = (mean + deviation * rng.randn(*shape)).astype(
        np.float32)
  return weights


def run_layer(layer: Callable[[mtf.Tensor], mtf.Tensor], x: np.ndarray,
              mesh_config: config_lib.MeshConfig, *,
              dtype=tf.float32, rewrite: bool = False) -> Result:
  """Runs a layer forward and backward with random weights.

  Args:
    layer: builds the output from the input.
    x: [batch, *spatial, channels].
    mesh_config: how x is cut.
    dtype: in which x enters.
    rewrite: let TensorFlow rewrite the graph first, as in a job.
  """
  with bench(mesh_config) as b:
    images = b.activation(x, dtype)
    y = layer(images)
    dy = np.asarray(np.random.RandomState(6).randn(
        *y.shape.to_integer_list), np.float32)
    variables = b.graph.trainable_variables
    grads = mtf.gradients(
        [y], [images] + [v.outputs[0] for v in variables],
        [mtf.import_tf_tensor(b.mesh, tf.constant(dy, y.dtype), y.shape)])
    lowering = b.lower()
    fetches = [tf.cast(lowering.export_to_tf_tensor(t), tf.float32)
               for t in [y] + grads]
    weights = random_weights(b.graph)
    with b.session(lowering, weights, rewrite=rewrite) as session:
      y, dx, *dweights = session.run(fetches)
  return Result(y, dx, dict(zip(weights, dweights)), dy, weights)


def plain(function: Callable[..., tf.Tensor], x: np.ndarray,
          result: Result) -> Result:
  """Runs `function(x, **weights)`, weights by their name, in plain TF."""
  inputs = tf.constant(x)
  weights = {name: tf.constant(w) for name, w in result.weights.items()}
  with tf.GradientTape() as tape:
    tape.watch([inputs, weights])
    y = function(inputs, **weights)
  dx, dweights = tape.gradient(y, [inputs, weights], tf.constant(result.dy))
  return Result(y.numpy(), dx.numpy(),
                {name: g.numpy() for name, g in dweights.items()},
                result.dy, result.weights)


def assert_close(came: np.ndarray, expected: np.ndarray, what: str,
                 tolerance: float = TOLERANCE) -> None:
  """Asserts equality to within a fraction of the largest value."""
  assert came.shape == expected.shape, what
  largest = np.abs(expected).max()
  error = np.abs(came - expected).max()
  assert error <= tolerance * largest, (
      f'{what}: off by {error:g}, largest value {largest:g}')


def assert_equal(came: Result, expected: Result,
                 tolerance: float = 1e-4) -> None:
  """Asserts that output and every gradient are equal."""
  assert_close(came.y, expected.y, 'output', tolerance)
  assert_close(came.dx, expected.dx, 'gradient of the input', tolerance)
  assert set(came.dweights) == set(expected.dweights)
  for name, gradient in came.dweights.items():
    assert_close(gradient, expected.dweights[name], f'gradient of {name}',
                 tolerance)
