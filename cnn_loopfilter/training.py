"""The training job: a TPUEstimator around the Keras network.

  patches -> training_graph -> checkpoints -> scores of held-out patches

The order of the data is a function of the seed and the global step, so a job
that is killed at any moment continues the same curve from its last
checkpoint.
"""

from collections.abc import Callable
from collections.abc import Mapping
import concurrent.futures
import dataclasses
import json
import os

import numpy as np
import tensorflow as tf

from cnn_loopfilter import atomic_file
from cnn_loopfilter import checkpoints
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import errors
from cnn_loopfilter import float_filter
from cnn_loopfilter import network
from cnn_loopfilter import optimizers
from cnn_loopfilter import patch_scores
from cnn_loopfilter import progress
from cnn_loopfilter import training_graph

# Batches of 64 that tell each class's error; some hundred patches a class.
_CLASS_BATCHES = 64

# Makes the endless batches of the training from a global step on.
Patches = Callable[[int], tf.data.Dataset]
# Makes one pass over held-out patches, in batches.
HeldOut = Callable[[], tf.data.Dataset]


@dataclasses.dataclass(frozen=True)
class Job:
  """What a training needs beside its data.

  Attributes:
    config: the experiment.
    model_dir: folder of checkpoints and event files.
    factories: optimizers by name.
    report: receives one-line messages for the user.
    use_tpu: run on a TPU (built to the API's rules, never run on one).
    cluster: resolver of that TPU; None for this machine.
  """
  config: config_lib.Config
  model_dir: str
  factories: Mapping[str, optimizers.Factory] = dataclasses.field(
      default_factory=lambda: dict(optimizers.BUILT_IN))
  report: Callable[[str], None] = print
  use_tpu: bool = False
  cluster: tf.distribute.cluster_resolver.TPUClusterResolver | None = None


def train(job: Job, patches: Patches, held_out: HeldOut | None = None) -> None:
  """Trains until `config.training.steps`, from the last checkpoint if any.

  Args:
    job: the job.
    patches: batches of reconstruction, original, qp, component.
    held_out: the same, scored every `evaluate_every_steps` and at the end.

  Raises:
    InputError: if the folder holds another network, the start does not fit,
      or the loss becomes NaN.
  """
  config = job.config
  optimizers.make(config.optimizer, tf.constant(0.0), job.factories)
  checkpoints.check_folder(job.model_dir, config)
  start = checkpoints.step_of(checkpoints.latest(job.model_dir))
  scorer = _Scorer(job, held_out)
  if start >= config.training.steps:
    job.report(f'{job.model_dir}: already at step {start} of '
               f'{config.training.steps}, nothing to train')
    scorer.after_save(None, start)
    return
  if start:
    job.report(f'Resuming from step {start} of {config.training.steps} '
               f'({job.model_dir})')
  checkpoints.write_config(job.model_dir, config)
  _run(job, patches, scorer)


def dry_run(config: config_lib.Config,
            factories: Mapping[str, optimizers.Factory]) -> None:
  """Builds the graph of one step, without any data.

  Args:
    config: the experiment.
    factories: optimizers by name.

  Raises:
    InputError: if there is no such optimizer.
  """
  size, batch = config.data.patch_size, config.training.batch_size
  with tf.Graph().as_default():
    picture = tf.zeros([batch, size, size, 1])
    training_graph.build(config, {
        'reconstruction': picture, 'original': picture,
        'qp': tf.zeros([batch]), 'component': tf.zeros([batch], tf.int32)},
        factories, class_errors=np.ones([3, 64], np.float32))


def _run(job, patches, scorer):
  training = job.config.training
  show = progress.ProgressHook(training.steps, training.batch_size)
  estimator = tf.compat.v1.estimator.tpu.TPUEstimator(
      model_fn=_model_fn(job, _class_errors(job, patches), show),
      config=_run_config(job), use_tpu=job.use_tpu,
      train_batch_size=training.batch_size)

  def input_fn(params):
    del params
    return patches(checkpoints.step_of(checkpoints.latest(job.model_dir)))
  try:
    estimator.train(input_fn, max_steps=training.steps,
                    saving_listeners=[scorer])
  except tf.estimator.NanLossDuringTrainingError as error:
    raise errors.InputError(
        f'{job.model_dir}: the loss became NaN; expected a smaller '
        'optimizer.learning_rate, or an optimizer.clip_norm') from error
  finally:
    show.close()


def _run_config(job):
  training = job.config.training
  return tf.compat.v1.estimator.tpu.RunConfig(
      model_dir=job.model_dir, cluster=job.cluster,
      tf_random_seed=training.seed,
      save_checkpoints_steps=training.save_every_steps,
      save_summary_steps=training.summary_every_steps,
      keep_checkpoint_max=3, log_step_count_steps=None,
      tpu_config=tf.compat.v1.estimator.tpu.TPUConfig(
          iterations_per_loop=training.save_every_steps if job.use_tpu else 1))


def _model_fn(job, class_errors, show):
  """The Estimator's model_fn: builds the graph, connects the hooks."""
  config = job.config

  def model_fn(features, labels, mode, params):
    del labels, params
    graph = training_graph.build(
        config, features, job.factories, class_errors=class_errors,
        use_tpu=job.use_tpu)
    scaffold_fn = _start(job) if config.training.warm_start else None
    hooks = [] if job.use_tpu else [show.watch(graph.loss)]
    return tf.compat.v1.estimator.tpu.TPUEstimatorSpec(
        mode, loss=graph.loss, train_op=graph.train_op, training_hooks=hooks,
        scaffold_fn=scaffold_fn)
  return model_fn


def _start(job):
  """Gives the variables of a new training the weights of another one."""
  path = job.config.training.warm_start
  source = checkpoints.read_start(path)
  if source.widths[:-1] != job.config.network.filters:
    raise errors.InputError(
        f'training.warm_start {path}: has layers of {source.widths[:-1]} '
        f'filters, the config says {job.config.network.filters}')
  values = network.variables_of(source)

  def scaffold_fn():
    # The moving averages of the weights start there too.
    names = [(v, v.op.name.removesuffix(checkpoints.AVERAGE))
             for v in tf.compat.v1.global_variables()]
    pairs = [(v, values[name]) for v, name in names if name in values]

    def init_fn(scaffold, session):
      del scaffold
      for variable, value in pairs:
        variable.load(value, session)
      job.report(f'Starting from {path}')
    # Not called where a checkpoint was restored.
    return tf.compat.v1.train.Scaffold(init_fn=init_fn)
  return scaffold_fn


def _class_errors(job, patches):
  """Reads or measures what `loss.balance` divides by; None: nothing."""
  if job.config.loss.balance != 'class':
    return None
  path = os.path.join(job.model_dir, 'class_errors.json')
  if not os.path.exists(path):
    count = _CLASS_BATCHES * 64 // job.config.training.batch_size + 1
    batches = patches(0).take(count).as_numpy_iterator()
    found = patch_scores.class_errors(batches)
    # Resuming must divide by the very same numbers.
    atomic_file.write_json(path, found.tolist())
  with open(path, encoding='utf-8') as stream:
    return np.array(json.load(stream), np.float32)


class _Scorer(tf.estimator.CheckpointSaverListener):
  """Scores checkpoints on held-out patches, into TensorBoard and a file."""

  def __init__(self, job, held_out):
    self._job, self._held_out = job, held_out
    self._scored = None

  def after_save(self, session, global_step_value):
    training, step = self._job.config.training, int(global_step_value)
    due = step % training.evaluate_every_steps == 0 or step >= training.steps
    if self._held_out is None or not step or not due or step == self._scored:
      return
    self._scored = step
    # In a thread of its own the training's graph is not the default one.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
      found = pool.submit(score, self._job, self._held_out).result()
    self._job.report(
        f'Step {step}: mean gain {patch_scores.mean_gain(found):+.3f} dB on '
        'held-out patches')


def score(job: Job, held_out: HeldOut
          ) -> dict[tuple[str, int], patch_scores.Gain]:
  """Scores the newest checkpoint with averaged weights.

  Writes the gains to model_dir/eval as TensorBoard scalars and as
  scores-STEP.json.

  Returns:
    PSNR before and after by component and QP.
  """
  filter_ = checkpoints.read_filter(job.model_dir)
  found = score_filter(filter_, held_out, job.config.training.evaluate_patches)
  step = int(filter_.description['step'])
  folder = os.path.join(job.model_dir, 'eval')
  writer = tf.summary.create_file_writer(folder)
  with writer.as_default(step):
    for (component, qp), gain in found.items():
      tf.summary.scalar(f'psnr_gain_db/{component}_qp{qp}', gain.db)
    tf.summary.scalar('psnr_gain_db/mean', patch_scores.mean_gain(found))
  writer.close()
  atomic_file.write_json(
      os.path.join(folder, f'scores-{step}.json'),
      {f'{component} {qp}': [gain.before, gain.after]
       for (component, qp), gain in found.items()
       if np.isfinite(gain.before) and np.isfinite(gain.after)})
  return found


def score_filter(filter_: float_filter.FloatFilter, held_out: HeldOut,
                 patches: int) -> dict[tuple[str, int], patch_scores.Gain]:
  """Scores a filter on about the first `patches` held-out patches."""
  def batches():
    seen = 0
    for batch in held_out().as_numpy_iterator():
      yield batch
      seen += len(batch['qp'])
      if seen >= patches:
        return
  return patch_scores.gains(batches(), network.apply(filter_),
                            filter_.depth)
