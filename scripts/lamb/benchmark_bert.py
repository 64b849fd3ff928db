"""Times a training step of BERT on made-up examples.

    python scripts/lamb/benchmark_bert.py \
        --bert_config_file=configs/lamb/bert_tiny.json --threads=1

Prints one JSON line for each --activation_dtype: seconds of the clock and of
the processor, and what share of a plain product's speed a step reaches. On a
busy machine the processor's time with --threads=1 is what can be compared.
"""

import os

# Before TensorFlow is imported: faster products where it is left off.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import dataclasses
import json
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line

from lamb.bert import config as config_lib
from lamb.bert import model
from lamb.bert import optimizers
from lamb.bert import step_benchmark

_BERT_CONFIG_FILE = flags.DEFINE_string(
    'bert_config_file', None, 'Sizes of the network, JSON.', required=True)
_MAX_SEQ_LENGTH = flags.DEFINE_integer(
    'max_seq_length', 128, 'Tokens of an example.', lower_bound=1)
_TRAIN_BATCH_SIZE = flags.DEFINE_integer(
    'train_batch_size', 64, 'Examples in a step.', lower_bound=1)
_ACCUMULATE_STEPS = flags.DEFINE_integer(
    'accumulate_steps', 1, 'Micro-batches in a step.', lower_bound=1)
_OPTIMIZER = flags.DEFINE_enum(
    'optimizer', 'lamb', optimizers.NAMES, 'Optimizer.')
_ACTIVATION_DTYPE = flags.DEFINE_multi_enum(
    'activation_dtype', list(model.DTYPES), model.DTYPES,
    'Of the activations; the flag may be repeated.')
_STEPS = flags.DEFINE_integer(
    'steps', 20, 'That are timed.', lower_bound=1)
_THREADS = flags.DEFINE_integer(
    'threads', 0, 'Of TensorFlow; 0: one on each core.', lower_bound=0)


def main() -> None:
  """Measures each type of activations."""
  config = config_lib.read(_BERT_CONFIG_FILE.value)
  for dtype in _ACTIVATION_DTYPE.value:
    found = step_benchmark.measure(
        config, sequence_length=_MAX_SEQ_LENGTH.value,
        batch_size=_TRAIN_BATCH_SIZE.value,
        accumulate_steps=_ACCUMULATE_STEPS.value, optimizer=_OPTIMIZER.value,
        activation_dtype=dtype, steps=_STEPS.value, threads=_THREADS.value)
    print(json.dumps({'activation_dtype': dtype} | {
        name: round(value, 4)
        for name, value in dataclasses.asdict(found).items()}), flush=True)


if __name__ == '__main__':
  command_line.run(main)
