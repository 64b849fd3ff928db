"""One step of fine-tuning on SQuAD, or a batch of its answers, as a graph."""

from collections.abc import Mapping
from collections.abc import Sequence

import tensorflow as tf

from lamb import tensorflow_update
from lamb.bert import config as config_lib
from lamb.bert import dropout
from lamb.bert import gradients
from lamb.bert import model
from lamb.bert import optimizers
from lamb.bert import pretraining_graph
from lamb.bert import squad_features
from lamb.bert import stages


def create_variables(config: config_lib.BertConfig, seed: int
                     ) -> dict[str, tf.Variable]:
  """Creates the weights of encoder and span head."""
  return model.create_variables(
      model.squad_shapes(config), config.initializer_range, seed)


def build_training(variables: Mapping[str, tf.Variable],
                   config: config_lib.BertConfig,
                   features: Mapping[str, tf.Tensor], stage: stages.Stage,
                   optimizer: optimizers.OptimizerConfig, seed: int,
                   devices: Sequence[str] = ('',)
                   ) -> pretraining_graph.TrainingGraph:
  """Builds a step in the default graph.

  Args:
    variables: Of `create_variables`.
    config: Sizes.
    features: int32 [batch, L] of `squad_features.TOKENS`, [batch] of
      `squad_features.ENDS`, and `input_pipeline.EXAMPLE_NUMBERS`.
    stage: Batch and learning rate.
    optimizer: Its settings.
    seed: Of the dropout.
    devices: Of the replicas; '' for wherever TensorFlow likes.
  """
  step = tf.compat.v1.train.get_or_create_global_step()
  # The pooler has no part in the answer; it is kept as it came.
  variables = {name: variable for name, variable in variables.items()
               if not name.startswith('bert/pooler/')}

  def loss_terms(weights, part, drop):
    logits = model.span_logits(
        weights, model.encode(weights, config, part, drop))
    nll = [tf.nn.sparse_softmax_cross_entropy_with_logits(part[name], each)
           for name, each in zip(squad_features.ENDS, tf.unstack(logits))]
    return [tf.reduce_sum(nll[0] + nll[1]) / (2.0 * stage.batch_size)]

  (loss,), found = gradients.compute(
      loss_terms, variables, features, terms=1, seed=seed, step=step,
      devices=devices)
  found, norm = gradients.clip(found, optimizer.clip_norm)
  rate = stage.rate(tf.cast(step, tf.float32), tensorflow_update.OPS)
  train_op = optimizers.make(optimizer, rate).apply_gradients(
      [(found[name], variable) for name, variable in variables.items()], step)
  return pretraining_graph.TrainingGraph(loss, train_op, {
      'loss': loss, 'learning_rate': rate, 'gradient_norm': norm})


def build_prediction(variables: Mapping[str, tf.Variable],
                     config: config_lib.BertConfig,
                     features: Mapping[str, tf.Tensor]
                     ) -> dict[str, tf.Tensor]:
  """Builds the logits of a batch, [batch, L], by `squad_features.ENDS`."""
  weights = {name: variable.read_value()
             for name, variable in variables.items()}
  logits = model.span_logits(weights, model.encode(
      weights, config.without_dropout(), features, dropout.none))
  return dict(zip(squad_features.ENDS, tf.unstack(logits)))
