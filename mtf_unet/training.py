"""The training job: a TPUEstimator around the graph on the mesh.

  case_source -> input_pipeline -> blocks (here, in tf.data) -> model -> hooks

Everything random is a function of the seed and the global step, so a job that
is stopped at any moment continues the same curve from its last checkpoint.
"""

from collections.abc import Callable, Mapping
import dataclasses
import os

import tensorflow as tf

from mtf_unet import blocks
from mtf_unet import case_source
from mtf_unet import checkpoints
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import evaluation
from mtf_unet import inference
from mtf_unet import input_pipeline
from mtf_unet import layout
from mtf_unet import mesh as mesh_lib
from mtf_unet import metrics
from mtf_unet import model
from mtf_unet import optimizers
from mtf_unet import progress
from mtf_unet import summaries
from mtf_unet.mtf_compat import mtf


@dataclasses.dataclass(frozen=True)
class Job:
  """What a training needs beside its data.

  Attributes:
    config: the experiment.
    model_dir: folder of checkpoints and event files.
    factories: optimizers by name.
    devices: of the mesh; None for this process's own.
    master: TensorFlow server to run on ('' for this process).
    report: receives one-line messages for the user.
  """
  config: config_lib.Config
  model_dir: str
  factories: Mapping[str, optimizers.Factory] = dataclasses.field(
      default_factory=lambda: dict(optimizers.BUILT_IN))
  devices: list[str] | None = None
  master: str = ''
  report: Callable[[str], None] = print

  @property
  def partition(self) -> layout.Partition:
    """How volumes are cut."""
    return layout.partition(self.config.mesh)


def train(job: Job, source: case_source.CaseSource,
          validation: case_source.CaseSource | None = None) -> None:
  """Trains until `config.training.steps`, from the last checkpoint if any.

  Args:
    job: the job.
    source: the training cases.
    validation: scored every `evaluate_every_steps`; the checkpoint with the
      best mean Dice is kept.

  Raises:
    InputError: if sizes do not fit the split, the folder holds another
      network, or a checkpoint cannot be written.
  """
  config = job.config
  model.check(config, job.partition, config.data.size,
              config.training.batch_size)
  checkpoints.check_folder(job.model_dir, config, training=True)
  start = checkpoints.step_of(checkpoints.latest(job.model_dir))
  if start >= config.training.steps:
    job.report(f'{job.model_dir}: already at step {start} of '
               f'{config.training.steps}, nothing to train')
    return
  if start:
    job.report(f'Resuming from step {start} of {config.training.steps} '
               f'({job.model_dir})')
  checkpoints.write_config(job.model_dir, config)
  estimator = tf.compat.v1.estimator.tpu.TPUEstimator(
      model_fn=_model_fn(job, validation), config=_run_config(job),
      use_tpu=False, train_batch_size=config.training.batch_size)
  estimator.train(lambda params: _blocks_dataset(job, source),
                  max_steps=config.training.steps)


def _run_config(job):
  config = job.config.training
  return tf.compat.v1.estimator.tpu.RunConfig(
      model_dir=job.model_dir, master=job.master, tf_random_seed=config.seed,
      session_config=mesh_lib.session_config(job.partition),
      save_checkpoints_steps=config.save_every_steps,
      save_summary_steps=config.summary_every_steps, log_step_count_steps=None)


def _blocks_dataset(job, source):
  """Batches cut into the blocks of the mesh positions."""
  config = job.config
  start = checkpoints.step_of(checkpoints.latest(job.model_dir))
  dataset = input_pipeline.training_dataset(
      source, config.data, batch_size=config.training.batch_size,
      seed=config.training.seed, start_step=start,
      dimensions=config.network.dimensions)
  where = blocks.places(
      job.partition, model.dim_names(config),
      model.batch_shape(config, config.training.batch_size))

  def cut(batch):
    return {f'{name}_{i}': batch[name][place]
            for name in ('image', 'label') for i, place in enumerate(where)}
  return dataset.map(cut).prefetch(1)


def _model_fn(job, validation):
  """The Estimator's model_fn: builds the graph, connects the hooks."""
  config, partition = job.config, job.partition

  def model_fn(features, labels, mode, params):
    del labels, params
    positions = range(partition.mesh_size)
    images = [features[f'image_{i}'] for i in positions]
    labels = [features[f'label_{i}'] for i in positions]
    graph = model.training_graph(config, partition, images, labels,
                                 job.factories, job.devices)
    _warm_start(job)
    pictures = [summaries.middle_slice(tensors, partition,
                                       config.network.dimensions == 3)
                for tensors in (images, labels, graph.predictions)]
    summaries.write(graph.scalars, *pictures)
    hooks = [mtf.MtfRestoreHook(graph.lowering),
             _saver_hook(job, graph.lowering, validation),
             progress.ProgressHook(graph.loss, config.training.steps,
                                   config.training.batch_size)]
    return tf.compat.v1.estimator.tpu.TPUEstimatorSpec(
        mode, loss=graph.loss, train_op=graph.train_op, training_hooks=hooks)
  return model_fn


def _warm_start(job):
  path = job.config.training.warm_start
  if path and checkpoints.latest(job.model_dir) is None:
    found = checkpoints.warm_start_map(
        path, tf.compat.v1.global_variables())
    tf.compat.v1.train.init_from_checkpoint(
        checkpoints.resolve(path), found)
    job.report(f'Starting {len(found)} variables from {path}')


def _saver_hook(job, lowering, validation):
  listeners = [mtf.MtfCheckpointSaverListener(lowering)]
  if validation is not None:
    listeners.append(_EvaluationListener(job, validation))
  return _SaverHook(job.model_dir, job.config.training.save_every_steps,
                    listeners)


class _SaverHook(tf.estimator.CheckpointSaverHook):
  """Says in one line that a checkpoint could not be written."""

  def __init__(self, folder, every_steps, listeners):
    super().__init__(folder, save_steps=every_steps, listeners=listeners)
    self._folder = folder

  def _save(self, session, step):
    try:
      return super()._save(session, step)
    except tf.errors.OpError as error:
      kept = checkpoints.latest(self._folder)
      for leftover in tf.io.gfile.glob(
          os.path.join(self._folder, f'model.ckpt-{step}*_temp*')):
        tf.io.gfile.rmtree(leftover)
      raise errors.InputError(
          f'{self._folder}: the checkpoint of step {step} could not be '
          f'written ({error.message}); the newest complete one is '
          f'{kept}; free some space, then start the same command again'
      ) from error


class _EvaluationListener(tf.estimator.CheckpointSaverListener):
  """Scores checkpoints and keeps the best.

  The graph to predict with is built once and given the weights of every
  checkpoint; training's own graph stays as it is.
  """

  def __init__(self, job, validation):
    self._job, self._validation = job, validation
    self._best = checkpoints.BestCheckpoint(job.model_dir)
    self._predictor = None
    self._last = checkpoints.step_of(checkpoints.latest(job.model_dir))

  def after_save(self, session, global_step_value):
    config, step = self._job.config, int(global_step_value)
    due = step - self._last >= config.training.evaluate_every_steps
    finished = step >= config.training.steps and step > self._last
    if not due and not finished:
      return
    self._last = step
    if self._predictor is None:
      self._predictor = inference.Predictor(
          config, self._job.partition, config.data.size,
          devices=self._job.devices, master=self._job.master)
    checkpoint = checkpoints.latest(self._job.model_dir)
    self._predictor.restore(checkpoint)
    summary = evaluation.evaluate(self._predictor, self._validation, config)
    score = summary['mean'] if summary['mean'] is not None else 0.0
    kept = self._best.offer(checkpoint, score)
    self._job.report(f'Step {step}: mean validation Dice {score:.4f}'
                     + (' (best so far, kept)' if kept else ''))
    write_scores(self._job.model_dir, summary, step)


def write_scores(model_dir: str, summary: dict, step: int) -> None:
  """Writes an evaluation as JSON and as TensorBoard scalars.

  Args:
    model_dir: files go to its sub-folder eval/.
    summary: of `metrics.summarize`.
    step: of the checkpoint that was scored.
  """
  folder = os.path.join(model_dir, 'eval')
  metrics.write_json(os.path.join(folder, f'metrics-{step}.json'), summary)
  values = {f'dice/class_{entry["label"]}': entry['mean']
            for entry in summary['classes']}
  values['dice/mean'] = summary['mean']
  # Estimator graphs are v1, where the v2 writer refuses to work.
  with tf.Graph().as_default(), tf.compat.v1.summary.FileWriter(
      folder) as writer:
    writer.add_summary(tf.compat.v1.Summary(value=[
        tf.compat.v1.Summary.Value(tag=tag, simple_value=value)
        for tag, value in values.items() if value is not None]), step)
