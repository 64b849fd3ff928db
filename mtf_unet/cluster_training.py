"""The training loop on a cluster: blocks are fed, each to its own worker.

`TPUEstimator` would build the input pipeline into the workers' graph, where no
Python runs, and would try for ever to find a lost worker again. The loop here
takes the same model_fn and the same hooks.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import tensorflow as tf

from mtf_unet import checkpoints
from mtf_unet import cluster_session
from mtf_unet import config as config_lib

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

  def end(self, session):
    self._session.close()


class WarmStartHook(tf.estimator.SessionRunHook):
  """Loads part of another training's weights, from a file of the client.

  Args:
    checkpoint: path prefix.
    names: of variables here, by their names there.
  """

  def __init__(self, checkpoint: str, names: Mapping[str, str]):
    self._checkpoint, self._names = checkpoint, names

  def begin(self):
    here = {variable.op.name: variable
            for variable in tf1.global_variables()}
    with tf.device(cluster_session.CLIENT_DEVICE):
      self._saver = tf1.train.Saver(
          {source: here[name] for source, name in self._names.items()})

  def after_create_session(self, session, coord):
    with checkpoints.reading(self._checkpoint):
      self._saver.restore(session, self._checkpoint)


def run(where: cluster_session.Cluster, model_fn: Callable,
        make_dataset: Callable[[], tf.data.Dataset], devices: Sequence[str],
        model_dir: str, config: config_lib.TrainingConfig) -> None:
  """Trains until `config.steps`, from the last checkpoint if any.

  Args:
    where: the workers.
    model_fn: as an Estimator takes it; its hooks save checkpoints.
    make_dataset: see `BlocksHook`.
    devices: of the mesh, by position.
    model_dir: folder of checkpoints and event files, on the client.
    config: steps, seed, and how often summaries are written.
  """
  with tf.Graph().as_default(), tf.device(cluster_session.HOME):
    tf1.set_random_seed(config.seed)
    tf1.train.create_global_step()
    blocks = BlocksHook(make_dataset, devices)
    spec = model_fn(blocks.placeholders, None, tf.estimator.ModeKeys.TRAIN, {})
    hooks = [
        blocks,
        tf1.train.NanTensorHook(spec.loss),
        *spec.training_hooks,
        tf1.train.StopAtStepHook(last_step=config.steps),
        tf1.train.SummarySaverHook(
            save_steps=config.summary_every_steps, output_dir=model_dir,
            summary_op=tf1.summary.merge_all()),
    ]
    with tf1.train.SingularMonitoredSession(
        hooks, master=where.target, config=where.session_config,
        checkpoint_dir=model_dir) as session:
      while not session.should_stop():
        session.run(spec.train_op)
