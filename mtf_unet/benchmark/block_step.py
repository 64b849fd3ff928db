"""The benchmark's step as a training job runs it: blocks fed to a mesh.

The mesh lies on virtual devices of this process, or on workers.
"""

from collections.abc import Sequence

import tensorflow as tf

from mtf_unet import blocks
from mtf_unet import cluster_session
from mtf_unet import config as config_lib
from mtf_unet import layout
from mtf_unet import mesh as mesh_lib
from mtf_unet import model
from mtf_unet import optimizers
from mtf_unet.benchmark import problem as problem_lib

tf1 = tf.compat.v1


def configure(problem: problem_lib.Problem,
              spatial_split: tuple[int, int, int]) -> config_lib.Config:
  """Writes the problem as an experiment."""
  return config_lib.Config(
      data=config_lib.DataConfig(size=(problem.size,) * 3,
                                 num_classes=problem.num_classes),
      mesh=config_lib.MeshConfig(spatial_split=spatial_split),
      network=problem.network, loss=problem.loss,
      optimizer=config_lib.OptimizerConfig(
          learning_rate=problem.learning_rate),
      training=config_lib.TrainingConfig(batch_size=1))


class BlockStep:
  """The lowered graph, the session that runs it, and what it is fed.

  Args:
    problem: what is computed.
    spatial_split: blocks along x, y, z.
    where: the workers; None for virtual devices of this process.
  """

  def __init__(self, problem: problem_lib.Problem,
               spatial_split: tuple[int, int, int],
               where: cluster_session.Cluster | None = None):
    config = configure(problem, spatial_split)
    partition = layout.partition(config.mesh)
    devices = where.devices(partition) if where else None
    with tf.Graph().as_default() as graph, tf.device(
        cluster_session.HOME if where else ''):
      fed = _placeholders(config, partition, devices)
      step = model.training_graph(config, partition, *fed,
                                  optimizers.BUILT_IN, devices)
      start = [tf1.global_variables_initializer(),
               step.lowering.copy_masters_to_slices()]
    self.parameters = sum(variable.shape.num_elements() for variable in
                          graph.get_collection('trainable_variables'))
    self._fetches = [step.loss, step.train_op]
    self._feed = _feed(problem, config, partition, fed)
    self._session = tf1.Session(
        where.target if where else '', graph=graph,
        config=where.session_config if where else mesh_lib.session_config(
            partition))
    for operation in start:
      self._session.run(operation)

  def run(self) -> float:
    """Runs one step and returns the loss."""
    return float(self._session.run(self._fetches, self._feed)[0])

  def exchanged_bytes(self) -> int:
    """Counts what a step's devices hand to each other."""
    return crossing_bytes([fetch if isinstance(fetch, tf.Operation)
                           else fetch.op for fetch in self._fetches])

  def close(self) -> None:
    """Frees the session."""
    self._session.close()


def _placeholders(config, partition, devices):
  """Image and label blocks, each on its block's device."""
  block = [n // partition.blocks(dim) for dim, n in zip(
      model.dim_names(config), model.batch_shape(config, 1))]
  images, labels = [], []
  for device in mesh_lib.block_devices(partition, devices):
    with tf.device(device):
      images.append(tf1.placeholder(tf.float32, block + [1]))
      labels.append(tf1.placeholder(tf.uint8, block))
  return images, labels


def _feed(problem, config, partition, fed):
  places = blocks.places(partition, model.dim_names(config),
                         model.batch_shape(config, 1))
  return {placeholder: whole[place]
          for whole, placeholders in zip(problem.volume(), fed)
          for place, placeholder in zip(places, placeholders)}


def crossing_bytes(fetches: Sequence[tf.Operation]) -> int:
  """Counts the bytes that go from one device to another.

  A tensor that several operations of a device read is sent there once.

  Args:
    fetches: operations; what they need counts as well. Operations without a
      device (constants, reads of variables) lie where they are used.
  """
  total, seen, sent, left = 0, set(), set(), list(fetches)
  while left:
    operation = left.pop()
    if operation in seen:
      continue
    seen.add(operation)
    left += [*operation.control_inputs,
             *(tensor.op for tensor in operation.inputs)]
    for tensor in operation.inputs:
      key = (tensor.name, operation.device)
      if (tensor.op.device and operation.device and key not in sent
          and tensor.op.device != operation.device
          and tensor.dtype != tf.resource):
        sent.add(key)
        total += (tensor.shape.num_elements() or 0) * tensor.dtype.size
  return total
