"""Times a training step of BERT on made-up examples.

A share of the machine is told beside the time: operations for each second over
those of a plain float32 product on the same threads.
"""

import dataclasses
import time

import numpy as np
import tensorflow as tf

from lamb.bert import config as config_lib
from lamb.bert import examples
from lamb.bert import flops
from lamb.bert import input_pipeline
from lamb.bert import optimizers
from lamb.bert import pretraining_graph
from lamb.bert import stages

_PRODUCT_SIZE = 2048
_STEPS_BEFORE = 2
# Of a learning rate that changes nothing much.
_RATE, _ALL_STEPS = 1e-4, 1_000_000


@dataclasses.dataclass(frozen=True)
class Timing:
  """What a step takes, each the median over some steps.

  Attributes:
    seconds: Of the clock.
    processor_seconds: Of all threads together; steadier than the clock on a
      machine that does other things too.
    examples_per_second: By the clock.
    gflop_per_second: Products alone, by the clock.
    product_gflop_per_second: Of a float32 product of two 2048 x 2048 matrices.
  """

  seconds: float
  processor_seconds: float
  examples_per_second: float
  gflop_per_second: float
  product_gflop_per_second: float


def measure(config: config_lib.BertConfig, *, sequence_length: int = 128,
            batch_size: int = 64, accumulate_steps: int = 1,
            optimizer: str = 'lamb', activation_dtype: str = 'float32',
            steps: int = 20, threads: int = 0) -> Timing:
  """Times steps of a training.

  Args:
    config: Sizes of the network.
    sequence_length: Tokens of an example.
    batch_size: Examples in a step.
    accumulate_steps: Micro-batches in it.
    optimizer: One of `optimizers.NAMES`.
    activation_dtype: See `pretraining.Job`.
    steps: That are timed.
    threads: Of TensorFlow; 0 for one on each core.
  """
  stage = stages.Stage(sequence_length, batch_size, _ALL_STEPS, _RATE)
  with tf.Graph().as_default(), _session(threads) as session:
    placeholders, values = _batch(config, stage)
    graph = pretraining_graph.build_training(
        pretraining_graph.create_variables(config, seed=0), config,
        placeholders, batch_size, (stage,),
        optimizers.OptimizerConfig(optimizer), 0,
        pretraining_graph.Split(accumulate_steps=accumulate_steps),
        tf.as_dtype(activation_dtype))
    factor = tf.compat.v1.get_variable(
        'factor', [_PRODUCT_SIZE, _PRODUCT_SIZE], use_resource=True)
    product = tf.matmul(factor, factor)[0, 0]
    session.run(tf.compat.v1.global_variables_initializer())
    # As a job does, which logs them.
    wanted = [graph.train_op, graph.scalars]
    clock, processor = _median(
        lambda: session.run(wanted, dict(zip(
            placeholders.values(), values.values()))), steps)
    product_clock, _ = _median(lambda: session.run(product), steps)
  operations = batch_size * flops.training_flops(
      config, sequence_length, stage.max_predictions)
  return Timing(clock, processor, batch_size / clock, operations / clock / 1e9,
                2 * _PRODUCT_SIZE ** 3 / product_clock / 1e9)


def _session(threads):
  return tf.compat.v1.Session(config=tf.compat.v1.ConfigProto(
      intra_op_parallelism_threads=threads,
      inter_op_parallelism_threads=threads))


def _batch(config, stage):
  """Returns placeholders of a batch, and random values for them, by name."""
  shape = input_pipeline.Shape(stage.sequence_length, stage.max_predictions)
  generator = np.random.default_rng(0)
  below = {'input_ids': config.vocab_size, 'segment_ids': 2,
           'masked_lm_positions': stage.sequence_length,
           'masked_lm_ids': config.vocab_size, examples.LABELS: 2}
  values = {
      name: generator.integers(
          0, below[name], (stage.batch_size, length), np.int32)
      if name in below else np.ones((stage.batch_size, length), np.int32)
      for name, length in shape.lengths().items()}
  values[examples.WEIGHTS] = values[examples.WEIGHTS].astype(np.float32)
  values[input_pipeline.EXAMPLE_NUMBERS] = np.arange(
      stage.batch_size, dtype=np.int32)
  placeholders = {name: tf.compat.v1.placeholder(value.dtype, value.shape)
                  for name, value in values.items()}
  return placeholders, values


def _median(run, count):
  """Returns the median of clock and processor time, after some runs."""
  for _ in range(_STEPS_BEFORE):
    run()
  times = []
  for _ in range(count):
    before = time.perf_counter(), time.process_time()
    run()
    times.append((time.perf_counter() - before[0],
                  time.process_time() - before[1]))
  return np.median(times, axis=0).tolist()
