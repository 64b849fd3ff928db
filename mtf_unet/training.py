"""The training job: a TPUEstimator around the graph on the mesh.

  case_source -> input_pipeline -> blocks (here, in tf.data) -> model -> hooks

Everything random is a function of the seed and the global step, so a job that
is stopped at any moment continues the same curve from its last checkpoint.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import tensorflow as tf

from mtf_unet import blocks
from mtf_unet import case_source
from mtf_unet import checkpoints
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import inference
from mtf_unet import input_pipeline
from mtf_unet import layout
from mtf_unet import mesh as mesh_lib
from mtf_unet import model
from mtf_unet import optimizers
from mtf_unet import progress
from mtf_unet import split_search
from mtf_unet import summaries
from mtf_unet import tensorflow_errors
from mtf_unet import validation_listener
from mtf_unet import warm_start
from mtf_unet.mtf_compat import mtf


@dataclasses.dataclass(frozen=True)
class Job:
  """What a training needs beside its data, on devices of TensorFlow.

  `tpu_job` has the same for a TPU.

  Attributes:
    config: the experiment.
    model_dir: folder of checkpoints and event files.
    factories: optimizers by name.
    devices: of the mesh; None for this process's own.
    master: TensorFlow server to run on ('' for this process).
    report: receives one-line messages for the user.
    run: facts about this run that are copied into its files of scores.
  """
  config: config_lib.Config
  model_dir: str
  factories: Mapping[str, optimizers.Factory] = dataclasses.field(
      default_factory=lambda: dict(optimizers.BUILT_IN))
  devices: list[str] | None = None
  master: str = ''
  report: Callable[[str], None] = print
  run: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def partition(self) -> layout.Partition:
    """How volumes are cut."""
    return split_search.partition_of(self.config)

  @property
  def steps_per_run(self) -> int:
    """Steps that one run of the session trains."""
    return 1

  @property
  def files_device(self) -> str:
    """The device that reads and writes checkpoints; '' for any."""
    return ''

  def warm_start(self) -> None:
    """Has the graph's variables start from a checkpoint, if they should."""
    checkpoint, found = self.find_start()
    if found:
      tf.compat.v1.train.init_from_checkpoint(checkpoint, found)

  def find_start(self) -> tuple[str, dict[str, str]]:
    """Finds what the graph's variables start from; see `warm_start.find`."""
    return warm_start.find(self.config.training.warm_start, self.model_dir,
                           self.report)

  def predictor(self, size: Sequence[int]) -> inference.Predictor:
    """Builds a predictor for volumes of a size, on the same devices."""
    return inference.Predictor(self.config, self.partition, size,
                               devices=self.devices, master=self.master)

  def fit(self, source: case_source.CaseSource,
          validation: case_source.CaseSource | None,
          show: progress.ProgressHook,
          hooks: Sequence[tf.estimator.SessionRunHook] = ()) -> None:
    """Trains until the last step.

    Args:
      source: the training cases.
      validation: cases to score checkpoints on, or None.
      show: shows how far the training has come.
      hooks: called before the training's own.
    """
    self.estimator(validation, show).train(
        lambda params: self.dataset(source, params), hooks=list(hooks),
        max_steps=self.config.training.steps)

  def estimator(self, validation: case_source.CaseSource | None,
                show: progress.ProgressHook) -> tf.estimator.Estimator:
    """Builds the Estimator; the arguments are those of `fit`."""
    return tf.compat.v1.estimator.tpu.TPUEstimator(
        model_fn=self.model_fn(validation, show), config=_run_config(self),
        use_tpu=False, train_batch_size=self.config.training.batch_size)

  def dataset(self, source: case_source.CaseSource, params: Mapping
              ) -> tf.data.Dataset:
    """Builds the Estimator's input.

    Args:
      source: the training cases.
      params: the Estimator's.
    """
    del params
    return _blocks_dataset(self, source)

  def model_fn(self, validation: case_source.CaseSource | None,
               show: progress.ProgressHook) -> Callable:
    """Builds an Estimator's model_fn; the arguments are those of `fit`."""
    return _model_fn(self, validation, show)


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
      network, a case is damaged, a checkpoint cannot be read or written,
      memory does not suffice, or the loss becomes NaN.
  """
  config = job.config
  model.check(config, job.partition, config.data.size,
              config.training.batch_size)
  if config.mesh.layout == config_lib.AUTO_LAYOUT:
    job.report(f'Mesh chosen: {split_search.describe(job.partition)}')
  checkpoints.check_folder(job.model_dir, config, training=True)
  start = checkpoints.newest_step(job.model_dir)
  if start >= config.training.steps:
    job.report(f'{job.model_dir}: already at step {start} of '
               f'{config.training.steps}, nothing to train')
    if validation is not None:
      validation_listener.ValidationListener(job, validation).after_save(
          None, start)
    return
  if start:
    job.report(f'Resuming from step {start} of {config.training.steps} '
               f'({job.model_dir})')
    checkpoints.write_list(job.model_dir)
  checkpoints.write_config(job.model_dir, config)
  _run(job, _WatchedSource(source), validation)


def _run(job, source, validation):
  """Runs the Estimator and turns what a user can mend into InputErrors."""
  config = job.config
  show = progress.ProgressHook(
      config.training.steps, config.training.batch_size,
      unit='volumes' if config.network.dimensions == 3 else 'slices',
      steps_per_run=job.steps_per_run)
  try:
    job.fit(source, validation, show)
  except tf.estimator.NanLossDuringTrainingError as error:
    raise errors.InputError(
        f'{job.model_dir}: the loss became NaN; expected a smaller '
        'optimizer.learning_rate, or an optimizer.clip_norm') from error
  except tf.errors.ResourceExhaustedError as error:
    raise errors.InputError(
        f'out of memory ({tensorflow_errors.reason(error)}); expected a '
        'smaller data.size or training.batch_size, or more devices') from error
  except tf.errors.UnavailableError as error:
    raise errors.InputError(
        f'--master={job.master}: lost ({tensorflow_errors.reason(error)}); '
        'the same command resumes from the last checkpoint') from error
  except tf.errors.OpError:
    # What the input pipeline raises comes back as an error of TensorFlow.
    if source.error is None:
      raise
    raise source.error from None
  except KeyboardInterrupt:
    # The hooks do not come to their end, and leave event files half written.
    tf.compat.v1.summary.FileWriterCache.clear()
    raise
  finally:
    show.close()


class _WatchedSource:
  """A CaseSource that remembers the InputError of a damaged case."""

  def __init__(self, source):
    self._source = source
    self.error = None

  def __len__(self):
    return len(self._source)

  def __getitem__(self, index):
    try:
      return self._source[index]
    except errors.InputError as error:
      self.error = error
      raise


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
  dataset = input_pipeline.training_dataset(
      source, config.data, batch_size=config.training.batch_size,
      seed=config.training.seed,
      start_step=checkpoints.newest_step(job.model_dir),
      dimensions=config.network.dimensions)
  where = blocks.places(
      job.partition, model.dim_names(config),
      model.batch_shape(config, config.training.batch_size))

  def cut(batch):
    return {f'{name}_{i}': batch[name][place]
            for name in ('image', 'label') for i, place in enumerate(where)}
  return dataset.map(cut).prefetch(1)


def _model_fn(job, validation, show):
  """The Estimator's model_fn: builds the graph, connects the hooks."""
  config, partition = job.config, job.partition

  def model_fn(features, labels, mode, params):
    del labels, params
    positions = range(partition.mesh_size)
    images = [features[f'image_{i}'] for i in positions]
    labels = [features[f'label_{i}'] for i in positions]
    graph = model.training_graph(config, partition, images, labels,
                                 job.factories, job.devices)
    job.warm_start()
    pictures = [summaries.middle_slice(tensors, partition,
                                       config.network.dimensions == 3)
                for tensors in (images, labels, graph.predictions)]
    summaries.write(graph.scalars, *pictures)
    hooks = [mtf.MtfRestoreHook(graph.lowering),
             saver_hook(job, graph.lowering, validation),
             show.watch(graph.loss)]
    return tf.compat.v1.estimator.tpu.TPUEstimatorSpec(
        mode, loss=graph.loss, train_op=graph.train_op, training_hooks=hooks)
  return model_fn


def saver_hook(job: Job, lowering: mtf.Lowering,
               validation: case_source.CaseSource | None
               ) -> tf.estimator.CheckpointSaverHook:
  """Builds the hook that saves checkpoints and scores them.

  Args:
    job: the job.
    lowering: whose slices are copied to the master variables before a save.
    validation: cases to score checkpoints on, or None.
  """
  # The Estimator restores with the saver of this collection, the hook saves.
  tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.SAVERS,
                                 checkpoints.Saver(job.files_device))
  listeners = [mtf.MtfCheckpointSaverListener(lowering)]
  if validation is not None:
    listeners.append(validation_listener.ValidationListener(job, validation))
  return tf.estimator.CheckpointSaverHook(
      job.model_dir, save_steps=job.config.training.save_every_steps,
      listeners=listeners, save_graph_def=False)
