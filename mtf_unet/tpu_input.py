"""The input of one host of a TPU: the blocks of its own cores, one by one.

TPUEstimator's broadcast would send the whole batch to every core. Here a host
reads the cases whose blocks its cores hold, no others, cuts each as soon as
it is read, and hands out one block after the other in the order in which the
device assignment lists the host's replicas.

A case is read whole even where a part of it would do: a record is one message
with the whole volume in it, and normalisation and augmentation look at all of
its voxels. `block_files` has the parts, for hosts on which no Python runs.
"""

from collections.abc import Sequence
import functools

import numpy as np
import tensorflow as tf

from mtf_unet import blocks
from mtf_unet import case_source
from mtf_unet import config as config_lib
from mtf_unet import input_pipeline
from mtf_unet import layout
from mtf_unet import model
from mtf_unet import tpu_mesh

_PARALLEL_CALLS = 2


class HostBlocks:
  """Which blocks a host's cores hold, and which cases they come from.

  Args:
    config: the experiment.
    partition: its layout.
    replicas: the host's, in the order in which its cores are fed; replica i
      holds the block of mesh position i.

  Attributes:
    rows: of the batch, those that the host reads, rising.
  """

  def __init__(self, config: config_lib.Config, partition: layout.Partition,
               replicas: Sequence[int]):
    places = blocks.places(
        partition, model.dim_names(config),
        model.batch_shape(config, config.training.batch_size))
    own = [places[replica] for replica in replicas]
    self.rows = sorted({row for place in own
                        for row in range(place[0].start, place[0].stop)})
    self._boxes = list(dict.fromkeys(map(_box, own)))
    # For each replica: its first row among the rows, and its box.
    self._picks = [(self.rows.index(place[0].start),
                    self._boxes.index(_box(place))) for place in own]
    self._batch = own[0][0].stop - own[0][0].start

  def cut(self, volume: tf.Tensor) -> tf.Tensor:
    """Cuts [*spatial, ...] to the host's boxes, [boxes, *box, ...]."""
    return tf.stack([
        volume[tuple(slice(*edge) for edge in box)] for box in self._boxes])

  def by_replica(self, rows: tf.Tensor) -> tf.Tensor:
    """Picks [replicas, batch, *box, ...] from [rows, boxes, *box, ...]."""
    return tf.stack([rows[first:first + self._batch, box]
                     for first, box in self._picks])


def _box(place: blocks.Place) -> tuple[tuple[int, int], ...]:
  """The spatial part of a place; slices cannot be hashed."""
  return tuple((edge.start, edge.stop) for edge in place[1:])


def host_replicas(device_assignment: tpu_mesh.DeviceAssignment,
                  host: int) -> list[int]:
  """Lists a host's replicas in the order in which it feeds its cores."""
  return list(device_assignment.lookup_replicas(host, 0))


def block_specs(config: config_lib.Config, partition: layout.Partition
                ) -> dict[str, tf.TensorSpec]:
  """Returns shapes and types of one core's block, by name."""
  *edges, channels = model.block_shape(
      config, partition, config.data.size, config.training.batch_size)
  return {'image': tf.TensorSpec((*edges, channels), tf.float32),
          'label': tf.TensorSpec(edges, tf.int32)}


def host_dataset(source: case_source.CaseSource, config: config_lib.Config,
                 partition: layout.Partition, replicas: Sequence[int], *,
                 start_step: int) -> tf.data.Dataset:
  """Builds the endless data set of one host's training blocks.

  Args:
    source: the training cases.
    config: the experiment.
    partition: its layout.
    replicas: of the host, as `host_replicas` lists them.
    start_step: the first element belongs to this step.

  Returns:
    A data set of `block_specs`, one block each: those of all replicas for one
    step, then those of the next. Joined, the blocks of a step are the batch
    that `input_pipeline.training_dataset` has for it.
  """
  host = HostBlocks(config, partition, replicas)
  make = functools.partial(
      input_pipeline.training_example, source, config.data,
      seed=config.training.seed, dimensions=config.network.dimensions)
  shapes = input_pipeline.example_shapes(config.data,
                                         config.network.dimensions)

  def load(number):
    image, label = tf.numpy_function(make, [number], (tf.float32, tf.uint8))
    image, label = map(tf.ensure_shape, (image, label), shapes)
    return {'image': host.cut(image),
            'label': host.cut(tf.cast(label, tf.int32))}

  rows = np.array(host.rows, np.int64)
  numbers = tf.data.Dataset.range(start_step, tf.int64.max).flat_map(
      lambda step: tf.data.Dataset.from_tensor_slices(
          step * config.training.batch_size + rows))
  steps = numbers.map(
      load, num_parallel_calls=_PARALLEL_CALLS, deterministic=True).batch(
          len(rows), drop_remainder=True)
  return steps.map(
      lambda batch: {name: host.by_replica(value)
                     for name, value in batch.items()}).unbatch().prefetch(
                         len(replicas))
