"""The training job on a cluster: blocks are fed, each to its own worker.

`TPUEstimator` would build the input pipeline into the workers' graph, where no
Python runs, and would try for ever to find a lost worker again. The loop here
takes the same model_fn and the same hooks.
"""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import dataclasses

import tensorflow as tf

from mtf_unet import case_source
from mtf_unet import checkpoints
from mtf_unet import cluster_session
from mtf_unet import inference
from mtf_unet import mesh as mesh_lib
from mtf_unet import model
from mtf_unet import progress
from mtf_unet import training

tf1 = tf.compat.v1


class BlocksHook(tf.estimator.SessionRunHook):
  """Feeds every step the next element of a data set.

  Args:
    make_dataset: builds a data set of {'name_i': block of mesh position i}.
    devices: of the mesh, by position.
  """

  def __init__(self, make_dataset: Callable[[], tf.data.Dataset],
               devices: Sequence[str]):
    # A graph and a session in this process: the pipeline calls Python.
    with tf.Graph().as_default() as graph:
      dataset = make_dataset()
      self._next = tf1.data.make_one_shot_iterator(dataset).get_next()
    self._session = tf1.Session(graph=graph, config=tf1.ConfigProto(
        device_count={'GPU': 0}))
    self.placeholders = {}
    for name, spec in dataset.element_spec.items():
      with tf.device(devices[int(name.rpartition('_')[2])]):
        self.placeholders[name] = tf1.placeholder(spec.dtype, spec.shape, name)

  def before_run(self, run_context):
    blocks = self._session.run(self._next)
    return tf1.train.SessionRunArgs(None, {
        self.placeholders[name]: block for name, block in blocks.items()})

  def close(self) -> None:
    """Stops the pipeline, also of a training that did not reach its end."""
    self._session.close()


class WarmStartHook(tf.estimator.SessionRunHook):
  """Loads what a new training starts from, out of a file of the client.

  Args:
    job: the training.
  """

  def __init__(self, job: training.Job):
    self._job = job

  def begin(self):
    self._checkpoint, names = self._job.find_start()
    here = {variable.op.name: variable for variable in tf1.global_variables()}
    with tf.device(cluster_session.CLIENT_DEVICE):
      self._saver = tf1.train.Saver(
          {source: here[name] for source, name in names.items()},
          allow_empty=True)

  def after_create_session(self, session, coord):
    if self._checkpoint:
      with checkpoints.reading(self._checkpoint):
        self._saver.restore(session, self._checkpoint)


@dataclasses.dataclass(frozen=True)
class ClusterJob(training.Job):
  """A training on a cluster.

  Attributes:
    cluster: the workers; devices and master are theirs.
  """
  cluster: cluster_session.Cluster = dataclasses.field(kw_only=True)

  def __post_init__(self):
    object.__setattr__(self, 'devices', self.cluster.devices(self.partition))
    object.__setattr__(self, 'master', self.cluster.target)

  @property
  def files_device(self) -> str:
    return cluster_session.CLIENT_DEVICE

  def warm_start(self) -> None:
    """Does nothing: the hook of `fit` does it once there is a session."""

  def predictor(self, size: Sequence[int]) -> inference.Predictor:
    return inference.Predictor(
        self.config, self.partition, size, master=self.master,
        build=self._prediction_graph,
        session_config=self.cluster.session_config)

  def _prediction_graph(self, *arguments):
    with tf.device(cluster_session.HOME):
      return model.prediction_graph(*arguments, self.devices,
                                    files_device=self.files_device)

  def fit(self, source: case_source.CaseSource,
          validation: case_source.CaseSource | None,
          show: progress.ProgressHook,
          hooks: Sequence[tf.estimator.SessionRunHook] = ()) -> None:
    config = self.config.training
    with tf.Graph().as_default(), tf.device(cluster_session.HOME):
      tf1.set_random_seed(config.seed)
      tf1.train.create_global_step()
      blocks = BlocksHook(lambda: self.dataset(source, {}),
                          mesh_lib.block_devices(self.partition, self.devices))
      spec = self.model_fn(validation, show)(
          blocks.placeholders, None, tf.estimator.ModeKeys.TRAIN, {})
      summary = tf1.train.SummarySaverHook(
          save_steps=config.summary_every_steps, output_dir=self.model_dir,
          summary_op=tf1.summary.merge_all())
      with contextlib.closing(blocks), tf1.train.SingularMonitoredSession(
          [*hooks, blocks, WarmStartHook(self),
           tf1.train.NanTensorHook(spec.loss), *spec.training_hooks, summary,
           tf1.train.StopAtStepHook(last_step=config.steps)],
          master=self.master, config=self.cluster.session_config,
          checkpoint_dir=self.model_dir) as session:
        while not session.should_stop():
          session.run(spec.train_op)
