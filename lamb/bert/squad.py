"""Fine-tuning on SQuAD v1.1: a TPUEstimator job around BERT's span head.

  squad_files -> squad_features -> squad_graph -> squad_answers -> metrics

As in pre-training everything random depends on seed and global step alone.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import os
from typing import Any

import numpy as np
import tensorflow as tf

from lamb import atomic_file
from lamb import errors
from lamb.bert import checkpoints
from lamb.bert import config as config_lib
from lamb.bert import input_pipeline
from lamb.bert import job_folder
from lamb.bert import loss_log
from lamb.bert import machine as machine_lib
from lamb.bert import model
from lamb.bert import optimizers
from lamb.bert import progress
from lamb.bert import squad_answers
from lamb.bert import squad_features
from lamb.bert import squad_files
from lamb.bert import squad_graph
from lamb.bert import squad_metrics
from lamb.bert import stages
from lamb.bert import tokenizer as tokenizer_lib

PREDICTIONS_FILE = 'predictions.json'
N_BEST_FILE = 'nbest_predictions.json'
METRICS_FILE = 'metrics.json'


@dataclasses.dataclass(frozen=True)
class Job:
  """A fine-tuning.

  Attributes:
    config: Sizes of the network.
    model_dir: Folder of checkpoints, log, job.json and predictions.
    init_checkpoint: Pre-trained weights, '' for none.
    windows: How contexts are cut into windows.
    answers: Which spans are looked at.
    optimizer: Settings of the optimizer.
    learning_rate: Peak of the learning rate.
    batch_size: Windows in a step, over all replicas.
    epochs: Passes over the questions, may be a fraction.
    warmup_share: Share of the steps spent on warmup, in [0, 1].
    predict_batch_size: Windows at a time in `predict`.
    seed: Of new weights, order and dropout.
    save_checkpoints_steps: Steps between checkpoints.
    machine: Where to run; not on a TPU.
    report: Receives one-line messages for the user.
  """

  config: config_lib.BertConfig
  model_dir: str
  init_checkpoint: str = ''
  windows: squad_features.WindowConfig = squad_features.WindowConfig()
  answers: squad_answers.AnswerConfig = squad_answers.AnswerConfig()
  optimizer: optimizers.OptimizerConfig = optimizers.OptimizerConfig('adamw')
  learning_rate: float = 5e-5
  batch_size: int = 32
  epochs: float = 3.0
  warmup_share: float = 0.1
  predict_batch_size: int = 8
  seed: int = 12345
  save_checkpoints_steps: int = 1000
  machine: machine_lib.Machine = machine_lib.Machine()
  report: Callable[[str], None] = print

  def __post_init__(self):
    if self.windows.max_seq_length > self.config.max_position_embeddings:
      raise errors.InputError(
          f'max_seq_length: got {self.windows.max_seq_length}, expected at '
          'most max_position_embeddings='
          f'{self.config.max_position_embeddings}.')
    for name, least in (('predict_batch_size', 1),
                        ('save_checkpoints_steps', 1), ('seed', 0)):
      if getattr(self, name) < least:
        raise errors.InputError(
            f'{name}: got {getattr(self, name)!r}, expected a whole number '
            f'from {least}.')
    if self.batch_size < 1 or self.batch_size % self.machine.shards:
      raise errors.InputError(
          f'batch_size: got {self.batch_size}, expected a multiple of '
          f'{self.machine.shards} replicas.')
    if not self.epochs > 0 or not 0 <= self.warmup_share <= 1:
      raise errors.InputError(
          f'epochs={self.epochs!r}, warmup_share={self.warmup_share!r}: '
          'expected epochs above 0 and a share in [0, 1].')
    if self.machine.use_tpu:
      raise errors.InputError('use_tpu: fine-tuning runs on CPU or GPU only.')
    _stage(self, steps=1)


def train(job: Job, questions: Sequence[squad_files.Question],
          tokenizer: tokenizer_lib.Tokenizer) -> dict[str, float]:
  """Fine-tunes, from the last checkpoint if there is one.

  Args:
    job: The job.
    questions: To train on.
    tokenizer: Of the vocabulary that the weights were trained with.

  Returns:
    The last step, and its loss and learning rate unless their log is lost.

  Raises:
    machine.DivergedError: The loss became NaN.
    InputError: The checkpoint does not fit, or there are too few questions.
  """
  found = squad_features.windows(questions, tokenizer, job.windows)
  arrays = squad_features.features(found, job.windows.max_seq_length)
  steps = int(len(found) * job.epochs / job.batch_size)
  if not steps:
    raise errors.InputError(
        f'{len(found)} windows, {job.epochs} epochs: not one batch of '
        f'{job.batch_size}; expected a smaller batch_size.')
  stage = _stage(job, steps)
  start = _prepare_folder(job)
  if start < steps:
    with machine_lib.mistakes_told(job.model_dir):
      _estimator(job, stage, start).train(
          lambda params: _training_dataset(job, arrays, start),
          max_steps=steps)
  rows = loss_log.read(job.model_dir)
  last = rows[-1] if rows else {'step': steps}
  return {name: last[name] for name in ('step', 'loss', 'learning_rate')
          if name in last}


def predict(job: Job, questions: Sequence[squad_files.Question],
            tokenizer: tokenizer_lib.Tokenizer
            ) -> dict[str, list[dict[str, Any]]]:
  """Answers questions with the newest checkpoint, and writes the answers.

  Args:
    job: The job.
    questions: What is asked; true answers are not looked at.
    tokenizer: As in `train`.

  Returns:
    The likeliest answers by question, see `squad_answers.n_best`.

  Raises:
    InputError: There is no checkpoint.
  """
  checkpoint = checkpoints.latest(job.model_dir)
  if checkpoint is None:
    raise errors.InputError(
        f'{job.model_dir}: no checkpoint, expected a folder that a '
        'fine-tuning has filled.')
  checkpoints.shared_weights(checkpoint, model.squad_shapes(job.config))
  found = squad_features.windows(questions, tokenizer, job.windows)
  arrays = squad_features.features(found, job.windows.max_seq_length)
  logits = list(_estimator(job, None, 0).predict(
      lambda params: _prediction_dataset(job, arrays),
      checkpoint_path=checkpoint))[:len(found)]
  best = squad_answers.n_best(
      questions, found, np.array([each['start'] for each in logits]),
      np.array([each['end'] for each in logits]), job.answers)
  atomic_file.write_json(os.path.join(job.model_dir, N_BEST_FILE), best)
  atomic_file.write_json(
      os.path.join(job.model_dir, PREDICTIONS_FILE),
      {question: answers[0]['text'] for question, answers in best.items()})
  return best


def score(job: Job, questions: Sequence[squad_files.Question],
          best: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
  """Scores answers of `predict` and writes metrics.json.

  Args:
    job: The job.
    questions: With their true answers.
    best: The likeliest answers by question.

  Returns:
    `exact_match` and `f1` in percent.
  """
  found = squad_metrics.score(
      [(question.id, [text for text, _ in question.answers])
       for question in questions],
      {question: answers[0]['text'] for question, answers in best.items()})
  atomic_file.write_json(os.path.join(job.model_dir, METRICS_FILE), found)
  return found


def dry_run(job: Job) -> int:
  """Builds the graphs of training and prediction; reads no data.

  Args:
    job: The job; neither its folder nor its checkpoint is looked at.

  Returns:
    How many parameters there are.
  """
  job = dataclasses.replace(job, init_checkpoint='')
  # How many steps there are depends on the questions.
  stage = _stage(job, steps=1)
  counts = []
  for mode, training in ((tf.estimator.ModeKeys.TRAIN, True),
                         (tf.estimator.ModeKeys.PREDICT, False)):
    with tf.Graph().as_default() as graph:
      _model_fn(job, stage, 0)(_placeholders(job, training), None, mode, {})
      parameters = sum(variable.shape.num_elements()
                       for variable in tf.compat.v1.trainable_variables())
      counts.append(len(graph.get_operations()))
  job.report(f'{job.windows.max_seq_length}x{job.batch_size}: {parameters:,} '
             f'parameters, {counts[0]} operations in the graph of training, '
             f'{counts[1]} in that of prediction')
  return parameters


def _stage(job, steps):
  return stages.Stage(
      job.windows.max_seq_length, job.batch_size, steps, job.learning_rate,
      int(steps * job.warmup_share))


def _prepare_folder(job):
  """Checks folder and initial checkpoint; returns the step to go on from."""
  checkpoint = checkpoints.latest(job.model_dir)
  shapes = model.squad_shapes(job.config)
  start = checkpoints.step_of(checkpoint)
  if checkpoint is not None:
    checkpoints.shared_weights(checkpoint, shapes)
    job_folder.check_optimizer(job.model_dir, job.optimizer.name)
    checkpoints.write_list(job.model_dir)
    job.report(f'Resuming from step {start} ({job.model_dir})')
  elif job.init_checkpoint:
    checkpoints.shared_weights(
        checkpoints.resolve(job.init_checkpoint), shapes)
  loss_log.cut(job.model_dir, start)
  job_folder.write_job(job.model_dir, {
      name: dataclasses.asdict(getattr(job, name))
      for name in ('config', 'windows', 'optimizer')} | {
          name: getattr(job, name) for name in (
              'learning_rate', 'batch_size', 'epochs', 'warmup_share',
              'seed')})
  return start


def _estimator(job, stage, start):
  """Makes the Estimator; without a stage it predicts only."""
  return tf.compat.v1.estimator.tpu.TPUEstimator(
      model_fn=_model_fn(job, stage, start), use_tpu=False,
      config=job.machine.run_config(
          job.model_dir, job.seed, job.save_checkpoints_steps, keep=2),
      train_batch_size=job.batch_size,
      predict_batch_size=job.predict_batch_size)


def _training_dataset(job, arrays, first_step):
  """Endless batches; batch k depends on seed and k alone."""
  count = len(arrays['start'])

  def pick(step):
    rows = input_pipeline.record_numbers(
        int(step) * job.batch_size, job.batch_size, count, job.seed)
    return [arrays[name][rows] for name in arrays]

  def load(step):
    values = tf.numpy_function(pick, [step], [tf.int32] * len(arrays))
    features = {
        name: tf.ensure_shape(value, [job.batch_size, *array.shape[1:]])
        for value, (name, array) in zip(values, arrays.items())}
    return features | {
        input_pipeline.EXAMPLE_NUMBERS: tf.range(job.batch_size)}

  return tf.data.Dataset.range(first_step, tf.int64.max).map(load).prefetch(2)


def _prediction_dataset(job, arrays):
  """All windows once; the last batch is filled up with copies."""
  count, batch = len(arrays['start']), job.predict_batch_size
  rows = np.minimum(np.arange(-(-count // batch) * batch), count - 1)
  return tf.data.Dataset.from_tensor_slices(
      {name: arrays[name][rows] for name in squad_features.TOKENS}).batch(
          batch, drop_remainder=True)


def _model_fn(job, stage, start):
  """Returns the Estimator's model_fn."""
  def model_fn(features, labels, mode, params):
    del labels, params
    variables = squad_graph.create_variables(job.config, job.seed)
    if mode == tf.estimator.ModeKeys.PREDICT:
      return tf.compat.v1.estimator.tpu.TPUEstimatorSpec(
          mode, predictions=squad_graph.build_prediction(
              variables, job.config, features))
    graph = squad_graph.build_training(
        variables, job.config, features, stage, job.optimizer, job.seed,
        job.machine.replica_devices())
    return tf.compat.v1.estimator.tpu.TPUEstimatorSpec(
        mode, loss=graph.loss, train_op=graph.train_op,
        scaffold_fn=_starter(job, start), training_hooks=[
            loss_log.LossLogHook(job.model_dir, graph.scalars, start),
            progress.ProgressHook(
                stage.steps, stage.steps, job.batch_size, graph.loss),
            machine_lib.saver_hook(
                job.model_dir, job.save_checkpoints_steps)])
  return model_fn


def _starter(job, start):
  """Returns a scaffold_fn that takes weights from the initial checkpoint."""
  if not job.init_checkpoint or start:
    return None
  return checkpoints.starter(
      checkpoints.resolve(job.init_checkpoint),
      model.squad_shapes(job.config), job.report)


def _placeholders(job, training):
  """Stands in for a batch."""
  batch = job.batch_size if training else job.predict_batch_size
  whole = lambda *shape: tf.compat.v1.placeholder(tf.int32, [batch, *shape])
  features = {name: whole(job.windows.max_seq_length)
              for name in squad_features.TOKENS}
  if training:
    features |= {name: whole() for name in (
        *squad_features.ENDS, input_pipeline.EXAMPLE_NUMBERS)}
  return features
