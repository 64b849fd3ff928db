"""Training and evaluation of an image classifier by a TPUEstimator.

    records -> input_pipeline -> classifier -> checkpoints, metrics

Order and augmentation are functions of seed and step, so a job that is stopped
at any moment continues the same curve from its last checkpoint.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import json
import math
import pathlib
import re
from typing import Any

import tensorflow as tf

from lamb import atomic_file
from lamb import errors
from lamb.bert import checkpoints
from lamb.bert import progress
from lamb.images import classifier
from lamb.images import config as config_lib
from lamb.images import input_pipeline
from lamb.images import records

# Not public, but the only way to learn the number of replicas in a model_fn.
from tensorflow.python.tpu import tpu_function  # isort: skip

v1 = tf.compat.v1

# What may differ between the start and the resumption of a training.
_MAY_DIFFER = ('eval_batch_size', 'save_every_steps', 'evaluate_every_steps',
               'summary_every_steps')


@dataclasses.dataclass(frozen=True)
class Job:
  """What a training needs beside its data.

  Attributes:
    config: the experiment.
    model_dir: folder of checkpoints, event files and metrics.
    report: receives one-line messages for the user.
    run: facts about this run that are copied into its metrics files.
    use_tpu: run on a TPU (built to the API's rules, never run on one).
    cluster: resolver of that TPU; None for this machine.
    master: TensorFlow server to run on; '' for this process.
    iterations_per_loop: steps on the TPU between two words to the host.
  """

  config: config_lib.Config
  model_dir: str
  report: Callable[[str], None] = print
  run: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  use_tpu: bool = False
  cluster: tf.distribute.cluster_resolver.TPUClusterResolver | None = None
  master: str = ''
  iterations_per_loop: int = 100


def train(job: Job, source: records.Source,
          held_out: records.Source | None = None) -> None:
  """Trains until `config.training.steps`, from the last checkpoint if any.

  Args:
    job: the job.
    source: the training split.
    held_out: evaluated every `evaluate_every_steps` steps and at the end.

  Raises:
    InputError: The folder holds another experiment, the loss becomes NaN, or
      what `mistakes_told` tells.
  """
  training = job.config.training
  _check_folder(job)
  start = latest_step(job.model_dir)
  if start >= training.steps:
    job.report(f'{job.model_dir}: already at step {start} of '
               f'{training.steps}, nothing to train')
  elif start:
    job.report(f'Resuming from step {start} of {training.steps} '
               f'({job.model_dir})')
    checkpoints.write_list(job.model_dir)
  every = training.evaluate_every_steps if held_out else training.steps
  while start < training.steps:
    stop = min(training.steps, (start // every + 1) * every)
    _train_until(job, source, stop)
    start = stop
    if held_out:
      evaluate(job, held_out)
  # The last evaluation may have been interrupted.
  if held_out and not _metrics_file(job, start).exists():
    evaluate(job, held_out)


def _train_until(job, source, stop):
  def input_fn(params):
    return input_pipeline.training_batches(
        source, job.config, start_step=latest_step(job.model_dir),
        batch_size=params['batch_size'], host=_host(params))
  with mistakes_told(job):
    _estimator(job, stop).train(input_fn, max_steps=stop)


@contextlib.contextmanager
def mistakes_told(job: Job) -> Iterator[None]:
  """Turns what a user can mend into one line.

  Args:
    job: the job.

  Raises:
    InputError: The loss became NaN, memory does not suffice, or a record is
      damaged or holds no picture of the network's.
  """
  dataset = f'dataset {job.config.data.dataset}'
  try:
    yield
  except tf.estimator.NanLossDuringTrainingError as error:
    raise errors.InputError(
        f'{job.model_dir}: the loss became NaN; expected a smaller '
        'optimizer.learning_rate, or an optimizer.clip_norm.') from error
  except tf.errors.ResourceExhaustedError as error:
    raise errors.InputError(
        f'{job.model_dir}: out of memory; expected a smaller batch.'
        ) from error
  except tf.errors.DataLossError as error:
    raise errors.InputError(
        f'{dataset}: a record is damaged ({_first_line(error)}).') from error
  except tf.errors.InvalidArgumentError as error:
    if not re.search('image|png|jpeg|expected shape', error.message, re.I):
      raise
    raise errors.InputError(
        f'{dataset}: a picture cannot be used ({_first_line(error)}).'
        ) from error


def _first_line(error):
  return error.message.strip().partition('\n')[0]


def evaluate(job: Job, source: records.Source) -> dict[str, float]:
  """Evaluates the newest checkpoint on every example, once.

  Writes eval/metrics-STEP.json, with `job.run`, and TensorBoard scalars.

  Args:
    job: the job.
    source: the split.

  Returns:
    `top_1_accuracy`, `top_5_accuracy` and `cross_entropy` (nats), by name.

  Raises:
    InputError: There is no checkpoint, or what `mistakes_told` tells.
  """
  step = latest_step(job.model_dir)
  if not step:
    raise errors.InputError(
        f'{job.model_dir}: no checkpoint there, expected a trained model.')

  def input_fn(params):
    return input_pipeline.evaluation_batches(
        source, job.config, batch_size=params['batch_size'],
        host=_host(params))
  estimator = _estimator(job, step)
  hosts = job.cluster.cluster_spec().num_tasks('worker') if job.cluster else 1
  with mistakes_told(job):
    # TensorFlow's own list of checkpoints may be lost or of another step.
    found = estimator.evaluate(
        input_fn, input_pipeline.evaluation_steps(source, job.config, hosts),
        checkpoint_path=checkpoints.latest(job.model_dir))
  metrics = {key: float(found[key]) for key in (
      classifier.TOP_1, classifier.TOP_5, 'cross_entropy')}
  path = _metrics_file(job, step)
  atomic_file.write_json(path, {'step': step, 'examples': len(source),
                                **_finite(metrics), 'run': dict(job.run)})
  job.report(f'Step {step}: top-1 {metrics[classifier.TOP_1]:.4f}, top-5 '
             f'{metrics[classifier.TOP_5]:.4f} ({path})')
  return metrics


def _metrics_file(job, step):
  return pathlib.Path(job.model_dir) / 'eval' / f'metrics-{step}.json'


def _finite(metrics):
  """JSON has no NaN; a network that diverged gets null."""
  return {key: value if math.isfinite(value) else None
          for key, value in metrics.items()}


def dry_run(config: config_lib.Config) -> int:
  """Builds the graphs of training and evaluation, without any data.

  Returns:
    The number of trained parameters.
  """
  size = config.data.image_size
  for is_training in (True, False):
    with tf.Graph().as_default():
      batch = (config.training.batch_size if is_training
               else config.training.eval_batch_size)
      features = {
          'image': v1.placeholder(tf.float32, [batch, size, size, 3]),
          'label': v1.placeholder(tf.int32, [batch]),
          'weight': v1.placeholder(tf.float32, [batch])}
      if is_training:
        classifier.training_spec(config, features, replicas=1)
      else:
        classifier.evaluation_spec(config, features)
      parameters = sum(variable.shape.num_elements()
                       for variable in v1.trainable_variables())
  return parameters


def latest_step(model_dir: str) -> int:
  """Returns the step of the newest checkpoint, 0 where there is none."""
  return checkpoints.step_of(checkpoints.latest(model_dir))


def _host(params):
  # Only a TPU's input_fn is told of its hosts.
  context = params.get('context')
  if context is None:
    return records.ALONE
  return records.Host(context.current_host, context.num_hosts)


def _estimator(job, stop):
  training = job.config.training
  tpu = v1.estimator.tpu
  return tpu.TPUEstimator(
      model_fn=_model_fn(job, stop), use_tpu=job.use_tpu,
      train_batch_size=training.batch_size,
      eval_batch_size=training.eval_batch_size,
      config=tpu.RunConfig(
          model_dir=job.model_dir, cluster=job.cluster, master=job.master,
          tf_random_seed=training.seed,
          save_checkpoints_steps=training.save_every_steps,
          save_summary_steps=training.summary_every_steps,
          keep_checkpoint_max=3, log_step_count_steps=None,
          tpu_config=tpu.TPUConfig(
              iterations_per_loop=(
                  job.iterations_per_loop if job.use_tpu else 1),
              per_host_input_for_training=(
                  tpu.InputPipelineConfig.PER_HOST_V2))))


def _model_fn(job, stop):
  def model_fn(features, labels, mode, params):
    del labels, params
    if mode == v1.estimator.ModeKeys.EVAL:
      return classifier.evaluation_spec(job.config, features)
    replicas = (tpu_function.get_tpu_context().number_of_shards
                if job.use_tpu else 1)

    def hooks(loss):
      # A TPU's loop hides the loss.
      return [progress.ProgressHook(
          job.config.training.steps, stop, job.config.training.batch_size,
          None if job.use_tpu else loss)]
    return classifier.training_spec(job.config, features, replicas=replicas,
                                    hooks=hooks)
  return model_fn


def _check_folder(job):
  """Writes the config, or compares it with the one that is there.

  Raises:
    InputError: Another experiment was begun in the folder, or its config is
      damaged.
  """
  path = pathlib.Path(job.model_dir) / 'config.json'
  config = dataclasses.asdict(job.config)
  if not path.exists():
    atomic_file.write_json(path, config)
    return
  try:
    there = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise errors.InputError(
        f'{path}: no JSON ({error}), expected it as it was written.'
        ) from error
  for group, values in config.items():
    for key, value in values.items():
      old = there.get(group, {}).get(key)
      if value != old and key not in _MAY_DIFFER:
        raise errors.InputError(
            f'config key {group}.{key}: got {value!r}, but {job.model_dir} was '
            f'begun with {old!r}; expected the same, or another folder.')
