"""Fine-tuning on SQuAD v1.1: a TPUEstimator job around BERT's span head.

  squad_files -> squad_features -> gradients -> squad_answers -> metrics

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
from lamb import tensorflow_update
from lamb.bert import checkpoints
from lamb.bert import config as config_lib
from lamb.bert import dropout
from lamb.bert import gradients
from lamb.bert import input_pipeline
from lamb.bert import loss_log
from lamb.bert import machine as machine_lib
from lamb.bert import model
from lamb.bert import optimizers
from lamb.bert import progress
from lamb.bert import squad_answers
from lamb.bert import squad_features
from lamb.bert import squad_files
from lamb.bert import squad_metrics
from lamb.bert import stages
from lamb.bert import tokenizer as tokenizer_lib

PREDICTIONS_FILE = 'predictions.json'
N_BEST_FILE = 'nbest_predictions.json'
METRICS_FILE = 'metrics.json'

_TOKENS = ('input_ids', 'input_mask', 'segment_ids')


@dataclasses.dataclass(frozen=True)
class Job:
  """A fine-tuning.

  Attributes:
    config: Sizes of the network.
    model_dir: Folder of checkpoints, log and predictions.
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


def train(job: Job, questions: Sequence[squad_files.Question],
          tokenizer: tokenizer_lib.Tokenizer) -> dict[str, float]:
  """Fine-tunes, from the last checkpoint if there is one.

  Args:
    job: The job.
    questions: To train on.
    tokenizer: Of the vocabulary that the weights were trained with.

  Returns:
    The last step and its loss and learning rate.

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
  stage = stages.Stage(
      job.windows.max_seq_length, job.batch_size, steps, job.learning_rate,
      int(steps * job.warmup_share))
  start = _prepare_folder(job)
  if start < steps:
    with machine_lib.mistakes_told(job.model_dir):
      _estimator(job, stage, start).train(
          lambda params: _training_dataset(job, arrays, start),
          max_steps=steps)
  last = loss_log.read(job.model_dir)[-1]
  return {name: last[name] for name in ('step', 'loss', 'learning_rate')}


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


def _prepare_folder(job):
  """Checks folder and initial checkpoint; returns the step to go on from."""
  checkpoint = checkpoints.latest(job.model_dir)
  shapes = model.squad_shapes(job.config)
  start = checkpoints.step_of(checkpoint)
  if checkpoint is not None:
    checkpoints.shared_weights(checkpoint, shapes)
    checkpoints.write_list(job.model_dir)
    job.report(f'Resuming from step {start} ({job.model_dir})')
  elif job.init_checkpoint:
    checkpoints.shared_weights(
        checkpoints.resolve(job.init_checkpoint), shapes)
  loss_log.cut(job.model_dir, start)
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
      {name: arrays[name][rows] for name in _TOKENS}).batch(
          batch, drop_remainder=True)


def _model_fn(job, stage, start):
  """Returns the Estimator's model_fn."""
  def model_fn(features, labels, mode, params):
    del labels, params
    variables = model.create_variables(
        model.squad_shapes(job.config), job.config.initializer_range, job.seed)
    if mode == tf.estimator.ModeKeys.PREDICT:
      weights = {name: variable.read_value()
                 for name, variable in variables.items()}
      starts, ends = tf.unstack(model.span_logits(weights, model.encode(
          weights, job.config.without_dropout(), features, dropout.none)))
      return tf.compat.v1.estimator.tpu.TPUEstimatorSpec(
          mode, predictions={'start': starts, 'end': ends})
    return _training_spec(job, stage, start, variables, features)
  return model_fn


def _training_spec(job, stage, start, variables, features):
  """Builds a step and connects its hooks."""
  step = tf.compat.v1.train.get_or_create_global_step()
  # The pooler has no part in the answer; it is kept as it came.
  variables = {name: variable for name, variable in variables.items()
               if not name.startswith('bert/pooler/')}

  def loss_terms(weights, part, drop):
    logits = model.span_logits(
        weights, model.encode(weights, job.config, part, drop))
    nll = [tf.nn.sparse_softmax_cross_entropy_with_logits(
        part[name], logits[i]) for i, name in enumerate(('start', 'end'))]
    return [tf.reduce_sum(nll[0] + nll[1]) / (2.0 * job.batch_size)]

  (loss,), found = gradients.compute(
      loss_terms, variables, features, terms=1, seed=job.seed, step=step,
      devices=job.machine.replica_devices())
  found, norm = gradients.clip(found, job.optimizer.clip_norm)
  rate = stage.rate(tf.cast(step, tf.float32), tensorflow_update.OPS)
  train_op = optimizers.make(job.optimizer, rate).apply_gradients(
      [(found[name], variable) for name, variable in variables.items()], step)
  scalars = {'loss': loss, 'learning_rate': rate, 'gradient_norm': norm}
  starter = None
  if job.init_checkpoint and not start:
    starter = checkpoints.starter(
        checkpoints.resolve(job.init_checkpoint),
        model.squad_shapes(job.config), job.report)
  return tf.compat.v1.estimator.tpu.TPUEstimatorSpec(
      tf.estimator.ModeKeys.TRAIN, loss=loss, train_op=train_op,
      scaffold_fn=starter, training_hooks=[
          loss_log.LossLogHook(job.model_dir, scalars, start),
          progress.ProgressHook(
              stage.steps, stage.steps, job.batch_size, loss),
          machine_lib.saver_hook(job.model_dir, job.save_checkpoints_steps)])
