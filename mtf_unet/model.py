"""The network as a graph on a mesh: for training, and for prediction.

What goes in are blocks, what comes out are blocks: one tensor for each mesh
position, in the order of `blocks.places`; on a TPU, whose cores all run the
same program, just the core's own.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import deep_supervision
from mtf_unet import dropout
from mtf_unet import initial_values
from mtf_unet import layout
from mtf_unet import mesh as mesh_lib
from mtf_unet import optimizers
from mtf_unet import schedules
from mtf_unet import unet
from mtf_unet.mtf_compat import mtf

# The moving average of variable `v` is variable `ema/v`.
EMA_SCOPE = 'ema'


def dim_names(config: config_lib.Config) -> tuple[str, ...]:
  """Names the dims of a label batch, batch first."""
  return (layout.BATCH,) + layout.SPATIAL[:config.network.dimensions]


def image_channels(config: config_lib.Config) -> int:
  """Channels of the network's input, neighbouring slices included."""
  return config.data.channels * (2 * config.data.neighbor_slices + 1)


def batch_shape(config: config_lib.Config, batch_size: int,
                size: Sequence[int] | None = None) -> tuple[int, ...]:
  """Shape of a label batch, [batch, *spatial]."""
  size = tuple(size or config.data.size)
  return (batch_size,) + size[:config.network.dimensions]


def check(config: config_lib.Config, partition: layout.Partition,
          size: Sequence[int], batch_size: int) -> None:
  """Checks that the network can be cut so; see `layout.check_sizes`."""
  layout.check_sizes(partition, tuple(size), batch_size,
                     config.network.size_multiples)


def _import_blocks(mesh, mesh_impl, tensors, dims):
  return mtf.import_laid_out_tensor(
      mesh, mesh_impl.LaidOutTensor(list(tensors)), mtf.Shape(dims))


def build_network(mesh: mtf.Mesh, mesh_impl: mtf.MeshImpl,
                  config: config_lib.Config, images: Sequence[tf.Tensor],
                  shape: Sequence[int], drop: dropout.Dropout | None
                  ) -> tuple[unet.Network, mtf.Tensor, list[mtf.Dimension]]:
  """Builds images to logits.

  Args:
    mesh: of the Mesh-TensorFlow graph.
    mesh_impl: where the blocks lie.
    config: the experiment.
    images: float32 blocks.
    shape: [batch, *spatial] of the whole.
    drop: in training, where dropout's masks come from; else None.

  Returns:
    The network, its logits, and the dims of the labels.
  """
  dims = list(map(mtf.Dimension, dim_names(config), shape))
  channels = mtf.Dimension('image_channels', image_channels(config))
  network = unet.Network(config.network, config.data.num_classes, drop)
  logits = network.logits(
      _import_blocks(mesh, mesh_impl, images, dims + [channels]))
  return network, logits, dims


@dataclasses.dataclass(frozen=True)
class TrainingGraph:
  """One lowered training step.

  Attributes:
    lowering: holds the variables' copies.
    loss: scalar.
    scalars: what is worth a curve, by name.
    train_op: updates weights, averages and the global step.
    predictions: int32 label blocks [batch, *spatial].
  """
  lowering: mtf.Lowering
  loss: tf.Tensor
  scalars: dict[str, tf.Tensor]
  train_op: tf.Operation
  predictions: list[tf.Tensor]


def training_graph(config: config_lib.Config, partition: layout.Partition,
                   images: Sequence[tf.Tensor], labels: Sequence[tf.Tensor],
                   factories: Mapping[str, optimizers.Factory],
                   devices: list[str] | None = None, *,
                   mesh_impl: mtf.MeshImpl | None = None,
                   variable_placer: mtf.utils.BalancedVariablePlacer | None
                   = None) -> TrainingGraph:
  """Builds and lowers a training step in the current TensorFlow graph.

  Args:
    config: the experiment.
    partition: its layout.
    images: float32 blocks [batch, *spatial, channels].
    labels: whole-number blocks [batch, *spatial].
    factories: optimizers by name.
    devices: of the mesh; by default this process's CPU devices.
    mesh_impl: takes the place of one on `devices`; where all processors run
      one program, there is one block of images and one of labels.
    variable_placer: says where the master weights lie; by default on the
      first CPU device, of the first worker where there are workers.
  """
  graph = mtf.Graph()
  mesh = mtf.Mesh(graph, 'mesh',
                  variable_placer or mesh_lib.variable_placer(devices))
  if mesh_impl is None:
    mesh_impl = mesh_lib.placement_mesh(partition, devices)
  step = tf.compat.v1.train.get_or_create_global_step()
  drop = dropout.Dropout(config.network.dropout_keep, config.training.seed,
                         step)
  shape = batch_shape(config, config.training.batch_size)
  with initial_values.by_name():
    network, logits, dims = build_network(mesh, mesh_impl, config, images,
                                          shape, drop)
  label = _import_blocks(mesh, mesh_impl, labels, dims)
  loss = deep_supervision.segmentation_loss(
      logits, network.coarse_logits, label, config.loss)
  rate = schedules.learning_rate(config.optimizer, step, config.training.steps)
  updates = network.updates + _weight_updates(
      config, graph, loss['loss'], rate, step, factories)
  lowering = mtf.Lowering(graph, {mesh: mesh_impl}, autostack=False)
  exported = {name: lowering.export_to_tf_tensor(value)
              for name, value in loss.items()}
  operations = [lowering.lowered_operation(update) for update in updates]
  if mesh_impl.devices:
    operations = _joined_by_device(operations)
  with tf.control_dependencies(operations):
    train_op = tf.compat.v1.assign_add(step, 1)
  scalars = {name: exported[name]
             for name in ('loss', 'cross_entropy', 'dice_loss')}
  scalars['learning_rate'] = rate
  for index in range(config.data.num_classes):
    scalars[f'soft_dice/class_{index}'] = exported['soft_dice'][index]
  predictions = _label_blocks(mesh_impl, lowering.tensors[logits])
  return TrainingGraph(lowering, exported['loss'], scalars, train_op,
                       predictions)


def _joined_by_device(operations):
  """One operation for each device, done when all of that device's are.

  Groups over several devices, one for each variable, would send word from
  worker to worker once for each variable.
  """
  members, left = {}, list(operations)
  while left:
    operation = left.pop()
    if operation.type == 'NoOp':
      left += operation.control_inputs
    else:
      members.setdefault(operation.device, []).append(operation)
  joined = []
  for device, group in members.items():
    with tf.device(device):
      joined.append(tf.group(group))
  return joined


def _weight_updates(config, graph, loss, rate, step, factories):
  variables = graph.trainable_variables
  grads = mtf.gradients([loss], [v.outputs[0] for v in variables])
  if config.optimizer.clip_norm:
    grads = optimizers.clip_by_global_norm(grads, config.optimizer.clip_norm)
  optimizer = optimizers.make(config.optimizer, rate, step, factories)
  updates = optimizer.apply_grads(grads, variables)
  if config.training.ema_decay:
    # The average lags by one step: it reads the weights before the update.
    updates += [_average_update(variable, config.training.ema_decay, step)
                for variable in list(variables)]
  return updates


def _average_update(variable, decay, step):
  average = mtf.get_variable(
      variable.mesh, f'{EMA_SCOPE}/{variable.name}', variable.shape,
      dtype=tf.float32, initializer=tf.compat.v1.zeros_initializer(),
      trainable=False)
  # While young the average forgets faster, so its start leaves no trace.
  step = tf.cast(step, tf.float32)
  decay = tf.minimum(decay, step / (step + 10.0))
  value = mtf.cast(variable.value, tf.float32)
  return mtf.assign(average, value + (average - value) * decay)


def _label_blocks(mesh_impl, logits):
  return mesh_impl.slicewise(
      lambda x: tf.argmax(x, -1, output_type=tf.int32), logits).tensor_list


@dataclasses.dataclass(frozen=True)
class PredictionGraph:
  """The network to predict with.

  Attributes:
    lowering: holds the variables' copies.
    images: placeholders of the input blocks.
    probabilities: float32 blocks [batch, *spatial, classes].
    saver: restores the weights (their moving averages, where kept).
  """
  lowering: mtf.Lowering
  images: list[tf.Tensor]
  probabilities: list[tf.Tensor]
  saver: tf.compat.v1.train.Saver


def prediction_graph(config: config_lib.Config, partition: layout.Partition,
                     size: Sequence[int], batch_size: int,
                     devices: list[str] | None = None, *,
                     files_device: str = '') -> PredictionGraph:
  """Builds and lowers the network for volumes of one size.

  Args:
    config: the experiment.
    partition: how to cut; need not be the training's.
    size: voxels along x, y, z.
    batch_size: volumes (3-D) or slices (2-D) at once.
    devices: of the mesh.
    files_device: that reads checkpoints; '' for any.
  """
  check(config, partition, size, batch_size)
  graph = mtf.Graph()
  mesh = mtf.Mesh(graph, 'mesh', mesh_lib.variable_placer(devices))
  mesh_impl = mesh_lib.placement_mesh(partition, devices)
  block = block_shape(config, partition, size, batch_size)
  images = mesh_impl.slicewise(
      lambda position: tf.compat.v1.placeholder(tf.float32, block),
      mesh_impl.laid_out_pnum()).tensor_list
  lowering, probabilities = predict_blocks(
      mesh, mesh_impl, config, images, batch_shape(config, batch_size, size))
  with tf.device(files_device):
    saver = weights_saver(config, graph)
  return PredictionGraph(lowering, images, probabilities, saver)


def block_shape(config: config_lib.Config, partition: layout.Partition,
                size: Sequence[int], batch_size: int) -> list[int]:
  """Shape of one block of images, [batch, *spatial, channels]."""
  edges = [n // partition.blocks(dim) for dim, n in zip(
      dim_names(config), batch_shape(config, batch_size, size))]
  return edges + [image_channels(config)]


def predict_blocks(mesh: mtf.Mesh, mesh_impl: mtf.MeshImpl,
                   config: config_lib.Config, images: Sequence[tf.Tensor],
                   shape: Sequence[int]
                   ) -> tuple[mtf.Lowering, list[tf.Tensor]]:
  """Builds and lowers images to probabilities.

  Args:
    mesh: of a Mesh-TensorFlow graph of its own.
    mesh_impl: where the blocks lie.
    config: the experiment.
    images: float32 blocks.
    shape: [batch, *spatial] of the whole.

  Returns:
    The lowering, and float32 blocks [batch, *spatial, classes].
  """
  _, logits, _ = build_network(mesh, mesh_impl, config, images, shape, None)
  lowering = mtf.Lowering(mesh.graph, {mesh: mesh_impl}, autostack=False)
  probabilities = mesh_impl.slicewise(tf.nn.softmax, lowering.tensors[logits])
  return lowering, probabilities.tensor_list


def weights_saver(config: config_lib.Config, graph: mtf.Graph
                  ) -> tf.compat.v1.train.Saver:
  """Builds what restores the weights to predict with: averages where kept."""
  averaged = config.training.ema_decay > 0
  restored = {}
  for variable in graph.all_variables:
    prefix = f'{EMA_SCOPE}/' if averaged and variable.trainable else ''
    restored[prefix + variable.name] = variable.get_master()
  return tf.compat.v1.train.Saver(restored)
