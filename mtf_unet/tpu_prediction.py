"""Predicts on the cores of a TPU, in a session of its own.

TPUEstimator's predict refuses an input of blocks on several hosts. Here every
core has a placeholder on its host, `inference.Predictor` feeds each with its
block, and one run of the session is one volume.
"""

from collections.abc import Sequence

import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import inference
from mtf_unet import layout
from mtf_unet import model
from mtf_unet import tpu_mesh
from mtf_unet import tpu_system
from mtf_unet.mtf_compat import mtf


def prediction_graph(config: config_lib.Config, partition: layout.Partition,
                     size: Sequence[int], batch_size: int, *,
                     system: tpu_system.System) -> model.PredictionGraph:
  """Builds the program of all cores; as `model.prediction_graph` otherwise.

  Args:
    config: the experiment.
    partition: how to cut, one block for each core.
    size: voxels along x, y, z.
    batch_size: volumes (3-D) or slices (2-D) at once.
    system: the TPU.

  Raises:
    InputError: when blocks and cores differ in number, or the size cannot be
      cut so.
  """
  model.check(config, partition, size, batch_size)
  assignment, graph = system.assignment, mtf.Graph()
  mesh = mtf.Mesh(graph, 'mesh', tpu_mesh.variable_placer(
      system.host_devices(), system.cores))
  mesh_impl = tpu_mesh.simd_mesh(partition, assignment)
  images = []
  for replica in range(system.cores):
    with tf.device(assignment.host_device(replica=replica, job=system.job)):
      images.append(tf.compat.v1.placeholder(tf.float32, model.block_shape(
          config, partition, size, batch_size)))
  lowerings = []

  def program(block):
    lowering, probabilities = model.predict_blocks(
        mesh, mesh_impl, config, [block],
        model.batch_shape(config, batch_size, size))
    lowerings.append(lowering)
    return probabilities
  rows = tf.compat.v1.tpu.replicate(program, [[image] for image in images],
                                    device_assignment=assignment)
  lowering, = lowerings
  return model.PredictionGraph(lowering, images, [row[0] for row in rows],
                               model.weights_saver(config, graph))


def predictor(config: config_lib.Config, partition: layout.Partition,
              size: Sequence[int], system: tpu_system.System
              ) -> inference.Predictor:
  """Opens a session on a TPU; the arguments are those of the graph."""
  def build(*arguments):
    return prediction_graph(*arguments, system=system)
  return inference.Predictor(config, partition, size, master=system.master,
                             build=build,
                             session_config=system.session_config())
