"""The pre-training job: a TPUEstimator around BERT's graph.

  records -> input_pipeline -> pretraining_graph -> checkpoints, losses.csv

Everything random is a function of the seed and the global step, so a job that
is killed at any moment continues the same curve from its last checkpoint.
"""

from collections.abc import Callable
import dataclasses

import tensorflow as tf

from lamb import errors
from lamb.bert import checkpoints
from lamb.bert import config as config_lib
from lamb.bert import flops
from lamb.bert import input_pipeline
from lamb.bert import job_folder
from lamb.bert import loss_log
from lamb.bert import machine as machine_lib
from lamb.bert import model
from lamb.bert import optimizers
from lamb.bert import pretraining_graph
from lamb.bert import pretraining_loss
from lamb.bert import progress
from lamb.bert import stages as stages_lib


@dataclasses.dataclass(frozen=True)
class Job:
  """A pre-training.

  Attributes:
    config: Sizes of the network.
    model_dir: Folder of checkpoints, logs and results.
    stages: What is trained, in order.
    optimizer: Settings of the optimizer.
    input_files: Records to train on; each file belongs to the stage of its
      sequence length.
    accumulate_steps: Micro-batches of a replica's share of a batch.
    seed: Of weights, order and dropout.
    save_checkpoints_steps: Steps between checkpoints; each stage ends in one.
    keep_checkpoints: How many of the newest are kept.
    init_checkpoint: Checkpoint to start from, '' for none.
    activation_dtype: One of `model.DTYPES`, of the activations in training;
      weights, moments, norms and sums are float32.
    eval_batch_size: Examples at a time in `evaluate`, which uses float32.
    max_eval_steps: Batches at most; None for all records once.
    machine: Where to run.
    report: Receives one-line messages for the user.
  """

  config: config_lib.BertConfig
  model_dir: str
  stages: tuple[stages_lib.Stage, ...]
  optimizer: optimizers.OptimizerConfig = optimizers.OptimizerConfig()
  input_files: tuple[str, ...] = ()
  accumulate_steps: int = 1
  seed: int = 12345
  save_checkpoints_steps: int = 1000
  keep_checkpoints: int = 5
  init_checkpoint: str = ''
  activation_dtype: str = 'float32'
  eval_batch_size: int = 8
  max_eval_steps: int | None = None
  machine: machine_lib.Machine = machine_lib.Machine()
  report: Callable[[str], None] = print

  def __post_init__(self):
    for name, least in (('accumulate_steps', 1), ('save_checkpoints_steps', 1),
                        ('eval_batch_size', 1), ('seed', 0)):
      if getattr(self, name) < least:
        raise errors.InputError(
            f'{name}: got {getattr(self, name)!r}, expected a whole number '
            f'from {least}.')
    if self.max_eval_steps is not None and self.max_eval_steps < 1:
      raise errors.InputError(
          f'max_eval_steps: got {self.max_eval_steps!r}, expected a whole '
          'number from 1.')
    if self.activation_dtype not in model.DTYPES:
      raise errors.InputError(
          f'activation_dtype: got {self.activation_dtype!r}, expected one of '
          f'{", ".join(model.DTYPES)}.')
    if not self.stages:
      raise errors.InputError('stages: got none, expected at least one.')
    parts = self.machine.shards * self.accumulate_steps
    for stage in self.stages:
      if stage.batch_size % parts:
        raise errors.InputError(
            f'stage {stage}: a batch of {stage.batch_size} cannot be divided '
            f'into {self.machine.shards} replicas x {self.accumulate_steps} '
            f'micro-batches; expected a multiple of {parts}.')
      if stage.sequence_length > self.config.max_position_embeddings:
        raise errors.InputError(
            f'stage {stage}: sequences of {stage.sequence_length}, but the '
            'network has max_position_embeddings='
            f'{self.config.max_position_embeddings}.')

  @property
  def total_steps(self) -> int:
    """Steps of all stages."""
    return stages_lib.starts(self.stages)[-1]


def train(job: Job) -> dict[str, float]:
  """Trains all stages, from the last checkpoint if there is one.

  Args:
    job: The job.

  Returns:
    `global_step` and the last step's values of `loss_log.COLUMNS` (on a TPU
    the step alone).

  Raises:
    machine.DivergedError: The loss became NaN.
    InputError: Records or checkpoints do not fit, or are damaged.
  """
  files = stage_files(job)
  start = _prepare_folder(job)
  begins = stages_lib.starts(job.stages)
  for number, (stage, begin, end) in enumerate(
      zip(job.stages, begins, begins[1:])):
    if start < end:
      job.report(f'Stage {stage}: steps {max(start, begin)} to {end} of '
                 f'{job.total_steps}')
      _train_stage(job, number, files[number])
  rows = loss_log.read(job.model_dir)
  return {'global_step': job.total_steps, **(rows[-1] if rows else {})}


def stage_files(job: Job) -> list[tuple[str, ...]]:
  """Returns the job's input files that each stage reads.

  Raises:
    InputError: A file fits no stage, or a stage has no file.
  """
  return input_pipeline.files_of(
      job.input_files, [_shape(stage) for stage in job.stages])


def evaluate(job: Job, files: tuple[str, ...], stage: int = -1
             ) -> dict[str, float]:
  """Scores the newest checkpoint.

  Writes the result to model_dir/eval_metrics.json and, as google-research/bert
  does, model_dir/eval_results.txt.

  Args:
    job: The job, whose model_dir holds the checkpoint.
    files: Records to score on.
    stage: The stage whose sizes the records have.

  Returns:
    masked_lm_accuracy, masked_lm_loss, next_sentence_accuracy,
    next_sentence_loss, loss, global_step.

  Raises:
    InputError: There is no checkpoint, the records do not fit, or a TPU's
      cores do not divide the batch.
  """
  if job.eval_batch_size % (job.machine.tpu_cores if job.machine.use_tpu
                            else 1):
    raise errors.InputError(
        f'eval_batch_size: got {job.eval_batch_size}, expected a multiple of '
        f'the {job.machine.tpu_cores} cores of the TPU.')
  shape = _shape(job.stages[stage])
  (files,) = input_pipeline.files_of(files, [shape])
  checkpoint = checkpoints.latest(job.model_dir)
  if checkpoint is None:
    raise errors.InputError(
        f'{job.model_dir}: no checkpoint, expected a folder that a training '
        'has filled.')
  checkpoints.shared_weights(checkpoint, model.pretraining_shapes(job.config))
  steps = input_pipeline.evaluation_steps(
      files, job.eval_batch_size, job.max_eval_steps)

  def input_fn(params):
    return input_pipeline.evaluation_dataset(
        files, shape, _share(job, job.eval_batch_size, params), steps=steps)

  with machine_lib.mistakes_told(job.model_dir):
    found = _estimator(job, job.stages[stage], None).evaluate(
        input_fn, steps=steps, checkpoint_path=checkpoint)
  found = {name: float(value) for name, value in found.items()}
  found['global_step'] = int(found['global_step'])
  job_folder.write_metrics(job.model_dir, found)
  return found


def dry_run(job: Job) -> dict[str, float]:
  """Builds the graph of every stage and of the evaluation; reads no data.

  Args:
    job: The job.

  Returns:
    `parameters`, and `flops`, the products of the whole training.
  """
  total = 0
  for stage in job.stages:
    with tf.Graph().as_default():
      features = _placeholders(job, stage, training=True)
      spec = _model_fn(job, stage, lambda graph: [])(
          features, None, tf.estimator.ModeKeys.TRAIN, {})
      parameters = sum(variable.shape.num_elements()
                       for variable in tf.compat.v1.trainable_variables())
      operations = len(spec.train_op.graph.get_operations())
    cost = stage.batch_size * stage.steps * flops.training_flops(
        job.config, stage.sequence_length, stage.max_predictions)
    total += cost
    job.report(f'Stage {stage}: {parameters:,} parameters, {operations} '
               f'operations in the graph, {cost:.3g} floating-point operations')
  with tf.Graph().as_default():
    _model_fn(job, job.stages[-1], None)(
        _placeholders(job, job.stages[-1], training=False), None,
        tf.estimator.ModeKeys.EVAL, {})
  return {'parameters': parameters, 'flops': total}


def _shape(stage):
  return input_pipeline.Shape(stage.sequence_length, stage.max_predictions)


def _share(job, global_batch, params):
  """What this host reads; the Estimator tells it on a TPU."""
  if not job.machine.use_tpu:
    return input_pipeline.Share(global_batch, global_batch)
  context = params['context']
  return input_pipeline.Share(global_batch, params['batch_size'],
                              context.current_host, context.num_hosts)


def _prepare_folder(job):
  """Checks the folder, records the job there, and returns the step it is at."""
  checkpoint = checkpoints.latest(job.model_dir)
  shapes = model.pretraining_shapes(job.config)
  start = checkpoints.step_of(checkpoint)
  if checkpoint is not None:
    checkpoints.shared_weights(checkpoint, shapes)
    job_folder.check_optimizer(job.model_dir, job.optimizer.name)
    checkpoints.write_list(job.model_dir)
    if start >= job.total_steps:
      job.report(f'{job.model_dir}: already at step {start} of '
                 f'{job.total_steps}, nothing to train')
    else:
      job.report(f'Resuming from step {start} of {job.total_steps} '
                 f'({job.model_dir})')
  elif job.init_checkpoint:
    checkpoints.shared_weights(
        checkpoints.resolve(job.init_checkpoint), shapes)
  if not job.machine.use_tpu:
    loss_log.cut(job.model_dir, start)
  job_folder.write_job(job.model_dir, {
      'config': dataclasses.asdict(job.config),
      'stages': [dataclasses.asdict(stage) for stage in job.stages],
      'optimizer': dataclasses.asdict(job.optimizer), 'seed': job.seed,
      'activation_dtype': job.activation_dtype})
  return start


def _train_stage(job, number, files):
  """Runs the Estimator over one stage."""
  stage = job.stages[number]
  begins = stages_lib.starts(job.stages)
  start = checkpoints.step_of(checkpoints.latest(job.model_dir))
  after = sum(each.batch_size * each.steps for each in job.stages[number + 1:])

  def hooks(graph):
    log = [] if job.machine.use_tpu else [
        loss_log.LossLogHook(job.model_dir, graph.scalars, start)]
    return [*log, progress.ProgressHook(
        job.total_steps, begins[number + 1], stage.batch_size,
        None if job.machine.use_tpu else graph.loss, examples_after=after)]

  def input_fn(params):
    return input_pipeline.training_dataset(
        files, _shape(stage), _share(job, stage.batch_size, params),
        seed=job.seed + number, first_step=start - begins[number])

  with machine_lib.mistakes_told(job.model_dir):
    _estimator(job, stage, hooks).train(input_fn, max_steps=begins[number + 1])


def _estimator(job, stage, hooks):
  return tf.compat.v1.estimator.tpu.TPUEstimator(
      model_fn=_model_fn(job, stage, hooks), use_tpu=job.machine.use_tpu,
      config=job.machine.run_config(
          job.model_dir, job.seed, job.save_checkpoints_steps,
          job.keep_checkpoints),
      train_batch_size=stage.batch_size, eval_batch_size=job.eval_batch_size)


def _model_fn(job, stage, hooks):
  """Returns the Estimator's model_fn: builds the graph, connects the hooks."""
  split = pretraining_graph.Split(
      job.machine.replica_devices(), job.accumulate_steps,
      job.machine.use_tpu)

  def model_fn(features, labels, mode, params):
    del labels, params
    variables = pretraining_graph.create_variables(job.config, job.seed)
    if mode == tf.estimator.ModeKeys.EVAL:
      loss, tensors = pretraining_graph.build_evaluation(
          variables, job.config, features)
      return tf.compat.v1.estimator.tpu.TPUEstimatorSpec(
          mode, loss=loss, eval_metrics=(pretraining_loss.metrics, tensors))
    graph = pretraining_graph.build_training(
        variables, job.config, features, stage.batch_size, job.stages,
        job.optimizer, job.seed, split, tf.as_dtype(job.activation_dtype))
    if not job.machine.use_tpu:
      for name, value in graph.scalars.items():
        tf.compat.v1.summary.scalar(name, value)
    return tf.compat.v1.estimator.tpu.TPUEstimatorSpec(
        mode, loss=graph.loss, train_op=graph.train_op,
        # The log comes before the saver: a checkpoint's steps are all logged.
        training_hooks=[*hooks(graph), machine_lib.saver_hook(
            job.model_dir, job.save_checkpoints_steps)],
        scaffold_fn=_start(job))
  return model_fn


def _start(job):
  """Returns a scaffold_fn that takes weights from the initial checkpoint."""
  if not job.init_checkpoint or checkpoints.latest(job.model_dir) is not None:
    return None
  return checkpoints.starter(
      checkpoints.resolve(job.init_checkpoint),
      model.pretraining_shapes(job.config), job.report)


def _placeholders(job, stage, training):
  """Stands in for the batch of a stage, or of one TPU core's share of it."""
  batch = stage.batch_size if training else job.eval_batch_size
  if training and job.machine.use_tpu:
    batch //= job.machine.tpu_cores
  features = {
      name: tf.compat.v1.placeholder(
          tf.float32 if name.endswith('weights') else tf.int32,
          [batch, length])
      for name, length in _shape(stage).lengths().items()}
  if training:
    beside = (input_pipeline.EXAMPLE_NUMBERS, tf.int32)
  else:
    beside = (input_pipeline.EXAMPLE_WEIGHTS, tf.float32)
  features[beside[0]] = tf.compat.v1.placeholder(beside[1], [batch])
  return features
