"""One step of pre-training, or one batch of its evaluation, as a graph."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from lamb import tensorflow_update
from lamb.bert import config as config_lib
from lamb.bert import dropout
from lamb.bert import gradients
from lamb.bert import model
from lamb.bert import optimizers
from lamb.bert import pretraining_loss
from lamb.bert import stages as stages_lib


@dataclasses.dataclass(frozen=True)
class Split:
  """How a batch is divided.

  Attributes:
    devices: Of the replicas in one graph; '' for wherever TensorFlow likes.
    accumulate_steps: Micro-batches of a replica.
    cross_replica: Whether the graph runs on TPU cores, whose sums are taken.
  """

  devices: tuple[str, ...] = ('',)
  accumulate_steps: int = 1
  cross_replica: bool = False


@dataclasses.dataclass(frozen=True)
class TrainingGraph:
  """What the Estimator runs.

  Attributes:
    loss: Scalar that is minimised.
    train_op: Makes one step.
    scalars: What is logged, by the names of `loss_log.COLUMNS`.
  """

  loss: tf.Tensor
  train_op: tf.Operation
  scalars: Mapping[str, tf.Tensor]


def create_variables(config: config_lib.BertConfig, seed: int
                     ) -> dict[str, tf.Variable]:
  """Creates the weights of encoder and pre-training heads."""
  return model.create_variables(
      model.pretraining_shapes(config), config.initializer_range, seed)


def build_training(variables: Mapping[str, tf.Variable],
                   config: config_lib.BertConfig,
                   features: Mapping[str, tf.Tensor], batch: int,
                   stages: Sequence[stages_lib.Stage],
                   optimizer: optimizers.OptimizerConfig, seed: int,
                   split: Split, dtype: tf.DType = tf.float32
                   ) -> TrainingGraph:
  """Builds a step in the default graph.

  Args:
    variables: Of `create_variables`.
    config: Sizes.
    features: Of the batch, or of one TPU core's share of it.
    batch: Examples in the whole batch.
    stages: All of the training, which the learning rate is read off.
    optimizer: Its settings.
    seed: Of the dropout.
    split: How the batch is divided.
    dtype: Of the activations, see `model.encode`.
  """
  step = tf.compat.v1.train.get_or_create_global_step()
  divisors = pretraining_loss.divisors(features, batch, split.cross_replica)

  def loss_terms(weights, part, drop):
    found = pretraining_loss.outcome(weights, config, part, drop, dtype)
    return pretraining_loss.terms(found, part, divisors)

  terms, found = gradients.compute(
      loss_terms, variables, features, terms=2, seed=seed, step=step,
      devices=split.devices, accumulate_steps=split.accumulate_steps,
      cross_replica=split.cross_replica)
  found, norm = gradients.clip(found, optimizer.clip_norm)
  rate = stages_lib.learning_rate(
      stages, tf.cast(step, tf.float32), tensorflow_update.OPS)
  train_op = optimizers.make(optimizer, rate).apply_gradients(
      [(found[name], variable) for name, variable in variables.items()], step)
  loss = terms[0] + terms[1]
  return TrainingGraph(loss, train_op, {
      'loss': loss, 'masked_lm_loss': terms[0], 'next_sentence_loss': terms[1],
      'learning_rate': rate, 'gradient_norm': norm})


def build_evaluation(variables: Mapping[str, tf.Variable],
                     config: config_lib.BertConfig,
                     features: Mapping[str, tf.Tensor]
                     ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Builds the evaluation of a batch.

  Args:
    variables: Of `create_variables`.
    config: Sizes; nothing is dropped.
    features: Of the batch, with `example_weights`.

  Returns:
    The loss, and the arguments of `pretraining_loss.metrics`.
  """
  weights = {name: variable.read_value()
             for name, variable in variables.items()}
  found = pretraining_loss.outcome(
      weights, config.without_dropout(), features, dropout.none)
  divisors = pretraining_loss.divisors(
      features, features['input_ids'].shape[0], cross_replica=False)
  loss = tf.add_n(pretraining_loss.terms(found, features, divisors))
  return loss, pretraining_loss.evaluation_tensors(found, features)
