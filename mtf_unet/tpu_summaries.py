"""Curves and pictures of a training on a TPU, written by its first host.

Cores cannot write. Every core sends its few numbers and its own part of the
picture through the outfeed; what arrives is stacked by core, and a host call
joins it.
"""

from collections.abc import Callable
import functools

import tensorflow as tf

# The public functions of these names leave operations behind that nobody runs.
from tensorflow.python.ops import summary_ops_v2

from mtf_unet import layout
from mtf_unet import model
from mtf_unet import summaries

HostCall = tuple[Callable[..., list[tf.Operation]], dict[str, tf.Tensor]]


def host_call(graph: model.TrainingGraph, image: tf.Tensor, label: tf.Tensor,
              partition: layout.Partition, *, volumetric: bool,
              model_dir: str) -> HostCall:
  """Builds what TPUEstimatorSpec takes as its host call.

  Args:
    graph: the training step of one core.
    image: its block, [batch, *spatial, channels].
    label: likewise, [batch, *spatial].
    partition: of the blocks; mesh position i is replica i.
    volumetric: whether there is a z.
    model_dir: of the event files.

  Returns:
    The function of the host, and by the names of its arguments the tensors of
    a core, each with a leading dim of 1.
  """
  names = list(graph.scalars)
  step = tf.compat.v1.train.get_global_step()
  tensors = {
      'step': tf.cast(step, tf.int32),
      'scalars': tf.stack([graph.scalars[name] for name in names]),
      **{name: summaries.own_slice(block, partition, volumetric)
         for name, block in (('image', image), ('label', label),
                             ('prediction', graph.predictions[0]))}}
  write = functools.partial(_write, names, partition, volumetric, model_dir)
  return write, {name: tensor[None] for name, tensor in tensors.items()}


def _write(names, partition, volumetric, model_dir, *, step, scalars, **slices):
  """Runs on the host; tensors are stacked by core."""
  # All cores have summed over the mesh: their numbers are the same.
  step = tf.cast(step[0], tf.int64)
  joined = {
      name: summaries.join_slices(
          tf.unstack(stacked, partition.mesh_size), partition, volumetric)
      for name, stacked in slices.items()}
  writer = tf.compat.v2.summary.create_file_writer(model_dir)
  with writer.as_default(), tf.compat.v2.summary.record_if(True):
    for name, value in zip(names, tf.unstack(scalars[0], len(names))):
      summary_ops_v2.scalar(name, value, step=step)
    summary_ops_v2.image(summaries.PICTURE, summaries.picture(**joined),
                         step=step)
  return tf.compat.v1.summary.all_v2_summary_ops()
