"""Runs the batch-scaling study of BERT-Tiny on a text file.

    python scripts/lamb/bert_batch_scaling.py --text=TRAIN.txt.gz \
        --eval_text=HELD_OUT.txt.gz --vocab_file=vocab.txt \
        --output_dir=runs/scaling

LAMB and AdamW at batch 64, 256 and 1024 and LARS at 1024, all with the same
number of examples, and LAMB with the mixed batch; without dropout, since a
network so small does not fit so much text too well. Stopped at any moment, the
same command goes on. OUTPUT_DIR/RUN/metrics.json holds each run's numbers,
summary.json what came out.
"""

import os
import pathlib
import sys

# Twice as fast on CPUs where TensorFlow leaves oneDNN off.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

import functools
import json
import subprocess

from absl import flags
import command_line
import run_record
import tensorflow as tf

from lamb import atomic_file
from lamb import errors
from lamb.bert import config as config_lib
from lamb.bert import model
from lamb.bert import scaling_runs
from lamb.bert import scaling_study
from lamb.bert import tokenizer

_ROOT = pathlib.Path(__file__).parents[2]
_CREATE = pathlib.Path(__file__).with_name('create_pretraining_data.py')
_DEFAULT = scaling_study.Study()

_TEXT = flags.DEFINE_string(
    'text', None, 'Text to train on: one sentence per line, a blank line '
    'between documents; gzipped or not.', required=True)
_EVAL_TEXT = flags.DEFINE_string(
    'eval_text', None, 'Held-out text of the same form.', required=True)
_VOCAB_FILE = flags.DEFINE_string(
    'vocab_file', None, 'WordPiece vocabulary.', required=True)
_CONFIG_FILE = flags.DEFINE_string(
    'bert_config_file', str(_ROOT / 'configs/lamb/bert_tiny.json'),
    'Sizes of the network.')
_OUTPUT_DIR = flags.DEFINE_string(
    'output_dir', None, 'Folder for records, runs and the summary.',
    required=True)
_EXAMPLES = flags.DEFINE_integer(
    'examples', _DEFAULT.examples, 'Seen by each run.')
_GRID_EXAMPLES = flags.DEFINE_integer(
    'grid_examples', _DEFAULT.grid_examples, 'Seen by each run of a grid.')
_BATCHES = flags.DEFINE_list(
    'batches', list(map(str, _DEFAULT.batches)), 'Batch sizes, rising.')
_WARMUP_STEPS = flags.DEFINE_integer(
    'warmup_steps', _DEFAULT.warmup_steps, 'Of every run.')
_SEQUENCES = flags.DEFINE_list(
    'sequence_lengths',
    [str(_DEFAULT.sequence_length), str(_DEFAULT.long_sequence_length)],
    'Tokens in an example, and in the second stage of the mixed batch.')
_DUPE_FACTOR = flags.DEFINE_integer(
    'dupe_factor', 6, 'Passes over the text, each masked anew.')
_DROPOUT = flags.DEFINE_bool(
    'dropout', False, 'Drop what --bert_config_file says; else nothing.')
_RATES = {name: flags.DEFINE_list(
    f'{name}_rates', list(map(str, _DEFAULT.rates[name])),
    f'Learning rates of {name} at the smallest batch, of which the best is '
    'kept.') for name in scaling_study.OPTIMIZERS}
_ACTIVATION_DTYPE = flags.DEFINE_enum(
    'activation_dtype', _DEFAULT.activation_dtype, model.DTYPES,
    'Of the activations in training.')
_BIAS_CORRECTION = flags.DEFINE_bool(
    'bias_correction', _DEFAULT.bias_correction,
    'Correct the moments of LAMB and AdamW.')
_SEED = flags.DEFINE_integer('seed', _DEFAULT.seed, 'Of all runs.')


def _numbers(name: str, texts: list[str], kind: type) -> tuple:
  try:
    return tuple(kind(text) for text in texts)
  except ValueError:
    raise errors.InputError(
        f'--{name}: got {",".join(texts)!r}, expected numbers divided by '
        'commas.') from None


def _study() -> scaling_study.Study:
  lengths = _numbers('sequence_lengths', _SEQUENCES.value, int)
  if len(lengths) != 2:
    raise errors.InputError(
        f'--sequence_lengths: got {len(lengths)}, expected two.')
  return scaling_study.Study(
      examples=_EXAMPLES.value, grid_examples=_GRID_EXAMPLES.value,
      batches=_numbers('batches', _BATCHES.value, int),
      warmup_steps=_WARMUP_STEPS.value,
      rates={name: _numbers(f'{name}_rates', flag.value, float)
             for name, flag in _RATES.items()},
      sequence_length=lengths[0], long_sequence_length=lengths[1],
      activation_dtype=_ACTIVATION_DTYPE.value,
      bias_correction=_BIAS_CORRECTION.value, seed=_SEED.value)


def _config() -> config_lib.BertConfig:
  config = config_lib.read(_CONFIG_FILE.value)
  config_lib.check_vocabulary(
      config, len(tokenizer.read_vocabulary(_VOCAB_FILE.value)),
      _VOCAB_FILE.value)
  return config if _DROPOUT.value else config.without_dropout()


def _records(name: str, text: str, length: int, passes: int) -> str:
  """Makes a file of records, unless it is there and was made in this way."""
  path = pathlib.Path(_OUTPUT_DIR.value) / 'records' / f'{name}.tfrecord'
  options = {
      'max_seq_length': length,
      # 20 of 128 tokens, as BERT's own records have.
      'max_predictions_per_seq': -(-length * 5 // 32), 'dupe_factor': passes,
      'random_seed': _SEED.value}
  note = path.with_suffix('.json')
  made_of = options | {'bytes_of_text': os.path.getsize(text),
                       'bytes_of_vocabulary': os.path.getsize(
                           _VOCAB_FILE.value)}
  if path.exists():
    _check_note(note, made_of)
    return str(path)
  print(f'== records: {path}', flush=True)
  atomic_file.write_json(note, made_of)
  status = subprocess.run(
      [sys.executable, str(_CREATE), f'--input_file={text}',
       f'--output_file={path}', f'--vocab_file={_VOCAB_FILE.value}',
       *(f'--{key}={value}' for key, value in options.items())],
      check=False).returncode
  if status:
    raise errors.InputError(
        f'{_CREATE.name}: ended with status {status} for {text}.')
  return str(path)


def _check_note(note: pathlib.Path, made_of: dict[str, int]) -> None:
  """Refuses records of another text or other options."""
  try:
    found = json.loads(note.read_text(encoding='utf-8'))
  except ValueError as error:
    raise errors.InputError(
        f'{note}: no JSON ({error}), expected it unchanged.') from error
  if found != made_of:
    raise errors.InputError(
        f'{note}: the records were made of {found}, now got {made_of}; choose '
        'another --output_dir.')


def main() -> None:
  """Makes the records, runs what is missing, prints what came out."""
  tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
  study = _study()
  config = _config()
  train_files = tuple(
      _records(f'train_{length}', _TEXT.value, length, _DUPE_FACTOR.value)
      for length in (study.sequence_length, study.long_sequence_length))
  held_out = _records('eval', _EVAL_TEXT.value, study.sequence_length, 1)
  try:
    summary = scaling_runs.run_all(scaling_runs.Laboratory(
        study, config, pathlib.Path(_OUTPUT_DIR.value), train_files,
        (held_out,), run_record.describe,
        functools.partial(print, flush=True)))
  except KeyboardInterrupt:
    raise errors.InputError(
        'stopped; the same command goes on from there.') from None
  print(f'{summary["verdict"]}; {summary["flop"]:.3g} floating-point '
        'operations')


if __name__ == '__main__':
  command_line.run(main, finalize=False)
