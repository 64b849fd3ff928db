"""Builds programs for a made TPU topology and runs them on the simulator."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses

import numpy as np
import tensorflow as tf

from mtf_unet import blocks
from mtf_unet import config as config_lib
from mtf_unet import layout
from mtf_unet import tpu_mesh
from mtf_unet.mtf_compat import mtf
from tests.mtf_unet import lowered
from tests.mtf_unet import simd_simulator

# Topologies of 2, 4 and 8 cores, and every dim split in one of them; in the
# last a block is met from two sides along x.
MESHES = {
    'x on 2 cores': lowered.split(2, 1, 1),
    'y on 2 cores': lowered.split(1, 2, 1),
    'z on 2 cores': lowered.split(1, 1, 2),
    'batch on 2 cores': lowered.split(1, 1, 1, batch=2),
    'x and y on 4 cores': lowered.split(2, 2, 1),
    'batch and z on 4 cores': lowered.split(1, 1, 2, batch=2),
    'x, y and z on 8 cores': lowered.split(2, 2, 2),
    'batch, x and y on 8 cores': lowered.split(2, 2, 1, batch=2),
    'x and y on 8 cores': lowered.split(4, 2, 1),
}


def cut(x: np.ndarray, partition: layout.Partition) -> list[np.ndarray]:
  """Cuts [batch, *spatial, ...] into the blocks of the mesh positions."""
  where = blocks.places(partition, layout.DIMS, x.shape[:4])
  return [x[place] for place in where]


def joined(rows: Sequence[Sequence[np.ndarray]], index: int,
           mesh_config: config_lib.MeshConfig, shape: Sequence[int]
           ) -> np.ndarray:
  """Joins output `index` of all cores to [batch, *spatial, ...] of a shape."""
  partition = layout.partition(mesh_config)
  return blocks.join([row[index] for row in rows],
                     blocks.places(partition, layout.DIMS, shape), shape)


@dataclasses.dataclass
class Built:
  """A program in its graph.

  Attributes:
    graph: TensorFlow's.
    outputs: for each core, what the program returned.
    lowering: of the Mesh-TensorFlow graph.
    inputs: for each core, its placeholders by name.
  """
  graph: tf.Graph
  outputs: list[list[tf.Tensor]]
  lowering: mtf.Lowering
  inputs: list[dict[str, tf.Tensor]]


def replicate(mesh_config: config_lib.MeshConfig,
              arrays: Mapping[str, np.ndarray],
              program: Callable[..., tuple[mtf.Lowering, list[tf.Tensor]]]
              ) -> Built:
  """Builds the program of all cores.

  Args:
    mesh_config: one block for each core.
    arrays: the whole of each input, [batch, *spatial, ...], by name.
    program: called with (mesh, mesh_impl, one block for each array); returns
      the lowering and what a core gives back.
  """
  partition = layout.partition(mesh_config)
  assignment = tpu_mesh.assignment(
      tpu_mesh.made_topology(partition.mesh_size))
  built = []
  with tf.Graph().as_default() as graph:
    inputs = [{name: tf.compat.v1.placeholder(array.dtype, block.shape)
               for name, array in arrays.items()
               for block in cut(array, partition)[:1]}
              for _ in range(partition.mesh_size)]

    def computation(*tensors):
      mesh = mtf.Mesh(mtf.Graph(), 'mesh')
      lowering, outputs = program(
          mesh, tpu_mesh.simd_mesh(partition, assignment), *tensors)
      built.append(lowering)
      return outputs
    outputs = tf.compat.v1.tpu.replicate(
        computation, [list(one.values()) for one in inputs],
        device_assignment=assignment)
    lowering, = built
    graph.copy_masters = lowering.copy_masters_to_slices()
    graph.copy_slices = lowering.copy_slices_to_masters()
    graph.initialize = tf.compat.v1.global_variables_initializer()
    graph.initialize_slices = tf.compat.v1.variables_initializer(
        tf.compat.v1.get_collection('TPU_VAR'))
  return Built(graph, outputs, lowering, inputs)


class Run:
  """A simulator with the weights set.

  Args:
    built: the program.
    arrays: what `replicate` was given.
    mesh_config: likewise.
    weights: values by variable name; others stay as they are initialised.
  """

  def __init__(self, built: Built, arrays, mesh_config, weights=None):
    self._built = built
    partition = layout.partition(mesh_config)
    self._feeds = {
        tensors[name]: part for name, array in arrays.items()
        for tensors, part in zip(built.inputs, cut(array, partition))}
    self._simulator = simd_simulator.Simulator(built.graph)
    self._simulator.run([built.graph.initialize])
    self._simulator.run([built.graph.initialize_slices])
    for variable in built.lowering.graph.all_variables:
      if weights and variable.name in weights:
        initializer = variable.get_master().initializer
        self._simulator.run([initializer], {
            initializer.inputs[1]: weights[variable.name]})
    self._simulator.run([built.graph.copy_masters])

  def step(self) -> list[list[np.ndarray]]:
    """Runs the program once; returns each core's outputs."""
    flat = [tensor for outputs in self._built.outputs for tensor in outputs]
    values = self._simulator.run(flat, self._feeds)
    count = len(self._built.outputs[0])
    return [values[i:i + count] for i in range(0, len(values), count)]

  def variables(self) -> dict[str, np.ndarray]:
    """Copies the cores' slices to the masters and returns them by name."""
    self._simulator.run([self._built.graph.copy_slices])
    variables = self._built.lowering.graph.all_variables
    with self._built.graph.as_default():
      masters = [v.get_master().op.name for v in variables]
    return dict(zip(masters, self._simulator.read(masters)))

  def slices(self) -> dict[str, list[np.ndarray]]:
    """Returns each core's own copy, or part, of every variable by name."""
    names = [s.op.name for s in self._built.graph.get_collection('TPU_VAR')]
    values, cores = self._simulator.read(names), len(self._built.outputs)
    return {variable.name: values[i * cores:(i + 1) * cores]
            for i, variable in enumerate(self._built.lowering.variables)}

  def close(self) -> None:
    """Frees the session."""
    self._simulator.close()


@contextlib.contextmanager
def run(mesh_config, arrays, program, weights=None):
  """Builds a program, sets its weights and yields a Run."""
  one = Run(replicate(mesh_config, arrays, program), arrays, mesh_config,
            weights)
  yield one
  one.close()
