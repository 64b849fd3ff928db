"""The benchmark's step on a mesh: this package's own network."""

import collections

import tensorflow as tf

from mtf_unet import config as config_lib
from mtf_unet import deep_supervision
from mtf_unet import dropout
from mtf_unet import layout
from mtf_unet import mesh as mesh_lib
from mtf_unet import unet
from mtf_unet.benchmark import problem as problem_lib
from mtf_unet.mtf_compat import mtf

tf1 = tf.compat.v1
Sums = collections.Counter


def warm_up() -> None:
  """Runs one convolution, so that the runtime and its threads exist."""
  with tf1.Session(graph=tf.Graph()) as session:
    with session.graph.as_default():
      x = tf.ones([1, 8, 8, 8, 4])
      y = tf.nn.conv3d(x, tf.ones([3, 3, 3, 4, 4]), [1] * 5, 'SAME')
    session.run(y)


class MeshStep:
  """The lowered graph and the session that runs it."""

  def __init__(self, problem: problem_lib.Problem,
               spatial_split: tuple[int, int, int]):
    partition = layout.partition(
        config_lib.MeshConfig(spatial_split=spatial_split))
    self._graph = tf.Graph()
    with self._graph.as_default():
      mtf_graph = mtf.Graph()
      loss, updates = _training_step(problem, mtf_graph)
      lowering = mtf.Lowering(
          mtf_graph, {loss.mesh: mesh_lib.placement_mesh(partition)},
          autostack=False)
      self._fetches = [
          lowering.export_to_tf_tensor(loss),
          [lowering.lowered_operation(update) for update in updates],
          tf1.assign_add(tf1.train.get_global_step(), 1)]
      self.parameters = sum(variable.shape.size
                            for variable in mtf_graph.trainable_variables)
      self._session = tf1.Session(config=mesh_lib.session_config(partition))
      self._session.run(tf1.global_variables_initializer())
      self._session.run(lowering.copy_masters_to_slices())

  def run(self) -> float:
    """Runs one step and returns the loss."""
    return float(self._session.run(self._fetches)[0])

  def profile(self) -> list[tuple[str, float, int]]:
    """Traces one step.

    Returns:
      Kind of kernel, seconds spent in it summed over the threads, and calls;
      the longest first.
    """
    metadata = tf1.RunMetadata()
    self._session.run(
        self._fetches, run_metadata=metadata,
        options=tf1.RunOptions(trace_level=tf1.RunOptions.FULL_TRACE))
    seconds, calls = Sums(), Sums()
    for device in metadata.step_stats.dev_stats:
      for node in device.node_stats:
        # '[placed] name = Kind(inputs)'
        kind = node.timeline_label.split(' = ')[-1].split('(')[0].strip()
        kind = kind.removeprefix('_Mkl').removeprefix('Native')
        seconds[kind] += (node.op_end_rel_nanos
                          - node.op_start_rel_nanos) * 1e-9
        calls[kind] += 1
    return [(kind, spent, calls[kind]) for kind, spent in
            seconds.most_common()]


def _training_step(problem, graph):
  """Builds network, loss and Adafactor; returns the loss and the updates."""
  mesh = mtf.Mesh(graph, 'mesh')
  dims = [mtf.Dimension('batch', 1),
          *(mtf.Dimension(dim, problem.size) for dim in layout.SPATIAL)]
  images, labels = problem.volume()
  # A placeholder's default is in memory and yet no constant to fold.
  images = mtf.import_tf_tensor(
      mesh, tf1.placeholder_with_default(images, images.shape),
      mtf.Shape([*dims, mtf.Dimension('channels', 1)]))
  labels = mtf.import_tf_tensor(
      mesh, tf1.placeholder_with_default(labels, labels.shape),
      mtf.Shape(dims))
  how = dropout.Dropout(problem.network.dropout_keep, seed=0,
                        step=tf1.train.get_or_create_global_step())
  network = unet.Network(problem.network, problem.num_classes, how)
  logits = network.logits(images)
  loss = deep_supervision.segmentation_loss(
      logits, network.coarse_logits, labels, problem.loss)['loss']
  variables = graph.trainable_variables
  gradients = mtf.gradients([loss], [v.outputs[0] for v in variables])
  optimizer = mtf.optimize.AdafactorOptimizer(
      learning_rate=problem.learning_rate)
  return loss, optimizer.apply_grads(gradients, variables) + network.updates


def build(problem: problem_lib.Problem,
          spatial_split: tuple[int, int, int]) -> problem_lib.Step:
  """Builds the step for a mesh of virtual CPU devices."""
  step = MeshStep(problem, spatial_split)
  return problem_lib.Step(step.run, step.parameters,
                          f'TensorFlow {tf.__version__}')
