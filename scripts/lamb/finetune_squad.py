"""Fine-tunes BERT on SQuAD v1.1 and scores its answers.

    python scripts/lamb/finetune_squad.py --do_train --do_predict \
        --bert_config_file=bert_config.json --vocab_file=vocab.txt \
        --init_checkpoint=MODEL --train_file=train-v1.1.json \
        --predict_file=dev-v1.1.json --output_dir=SQUAD

The flags are those of google-research/bert's run_squad. With several
--learning_rate the network is fine-tuned with each in a folder of its own, and
the best F1 is told. The same command started again resumes; --dry_run builds
the job and reads no data.
"""

import os

# Before TensorFlow is imported: faster products where it is left off.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import functools
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import tensorflow as tf

from lamb import errors
from lamb.bert import config as config_lib
from lamb.bert import machine
from lamb.bert import optimizers
from lamb.bert import squad
from lamb.bert import squad_answers
from lamb.bert import squad_features
from lamb.bert import squad_files
from lamb.bert import tokenizer as tokenizer_lib

_BERT_CONFIG_FILE = flags.DEFINE_string(
    'bert_config_file', None, 'Sizes of the network, JSON.', required=True)
_VOCAB_FILE = flags.DEFINE_string(
    'vocab_file', None, 'Vocabulary, one token on a line.', required=True)
_DO_LOWER_CASE = flags.DEFINE_bool(
    'do_lower_case', True, 'True for an uncased vocabulary.')
_INIT_CHECKPOINT = flags.DEFINE_string(
    'init_checkpoint', '', 'Pre-trained weights: a checkpoint or its folder.')
_TRAIN_FILE = flags.DEFINE_string('train_file', None, 'Questions, JSON.')
_PREDICT_FILE = flags.DEFINE_string('predict_file', None, 'Questions, JSON.')
_OUTPUT_DIR = flags.DEFINE_string(
    'output_dir', None, 'Folder of checkpoints and predictions.',
    required=True)
_DO_TRAIN = flags.DEFINE_bool('do_train', False, 'Fine-tune.')
_DO_PREDICT = flags.DEFINE_bool('do_predict', False, 'Answer and score.')
_DRY_RUN = flags.DEFINE_bool(
    'dry_run', False, 'Build the job, read no data, write nothing.')
_MAX_SEQ_LENGTH = flags.DEFINE_integer(
    'max_seq_length', 384, 'Tokens of a window.')
_DOC_STRIDE = flags.DEFINE_integer(
    'doc_stride', 128, 'Tokens between the starts of two windows.')
_MAX_QUERY_LENGTH = flags.DEFINE_integer(
    'max_query_length', 64, 'Tokens of a question.')
_TRAIN_BATCH_SIZE = flags.DEFINE_integer(
    'train_batch_size', 32, 'Windows in a step, over all replicas.')
_PREDICT_BATCH_SIZE = flags.DEFINE_integer(
    'predict_batch_size', 8, 'Windows at a time.')
_LEARNING_RATE = flags.DEFINE_multi_float(
    'learning_rate', [5e-5], 'Peak; the flag may be repeated.')
_NUM_TRAIN_EPOCHS = flags.DEFINE_float(
    'num_train_epochs', 3.0, 'Passes over the questions.')
_WARMUP_PROPORTION = flags.DEFINE_float(
    'warmup_proportion', 0.1, 'Share of the steps spent on warmup.')
_OPTIMIZER = flags.DEFINE_enum(
    'optimizer', 'adamw', optimizers.NAMES, 'Optimizer.')
_N_BEST_SIZE = flags.DEFINE_integer(
    'n_best_size', 20, 'Answers kept for each question.')
_MAX_ANSWER_LENGTH = flags.DEFINE_integer(
    'max_answer_length', 30, 'Tokens of an answer.')
_SEED = flags.DEFINE_integer('seed', 12345, 'Of everything random.')
_SAVE_CHECKPOINTS_STEPS = flags.DEFINE_integer(
    'save_checkpoints_steps', 1000, 'Steps between checkpoints.')
_REPLICAS = flags.DEFINE_integer(
    'replicas', 1, 'Data-parallel replicas on this machine.')


def _job(rate: float, folder: str) -> squad.Job:
  return squad.Job(
      config_lib.read(_BERT_CONFIG_FILE.value), folder,
      _INIT_CHECKPOINT.value,
      squad_features.WindowConfig(
          _MAX_SEQ_LENGTH.value, _DOC_STRIDE.value, _MAX_QUERY_LENGTH.value),
      squad_answers.AnswerConfig(
          _N_BEST_SIZE.value, _MAX_ANSWER_LENGTH.value),
      optimizers.OptimizerConfig(_OPTIMIZER.value), rate,
      _TRAIN_BATCH_SIZE.value, _NUM_TRAIN_EPOCHS.value,
      _WARMUP_PROPORTION.value, _PREDICT_BATCH_SIZE.value, _SEED.value,
      _SAVE_CHECKPOINTS_STEPS.value, machine.Machine(_REPLICAS.value),
      functools.partial(print, flush=True))


def _questions(wanted: bool, name: str) -> list[squad_files.Question]:
  if not wanted:
    return []
  if not flags.FLAGS[name].value:
    raise errors.InputError(f'--{name}: missing, expected SQuAD v1.1 JSON')
  return squad_files.read(flags.FLAGS[name].value)


def _run(job, tokenizer, to_train, to_predict) -> float | None:
  """Fine-tunes and scores with one learning rate; returns F1."""
  if to_train:
    squad.train(job, to_train, tokenizer)
  if not to_predict:
    return None
  found = squad.score(
      job, to_predict, squad.predict(job, to_predict, tokenizer))
  print(f'learning rate {job.learning_rate:g}: F1 {found["f1"]:.3f}, exact '
        f'match {found["exact_match"]:.3f} ({job.model_dir})', flush=True)
  return found['f1']


def _train_and_score(jobs: list[squad.Job]) -> None:
  """Runs all jobs and tells the best learning rate."""
  vocabulary = tokenizer_lib.read_vocabulary(_VOCAB_FILE.value)
  config_lib.check_vocabulary(
      jobs[0].config, len(vocabulary), _VOCAB_FILE.value)
  tokenizer = tokenizer_lib.Tokenizer(vocabulary, _DO_LOWER_CASE.value)
  to_train = _questions(_DO_TRAIN.value, 'train_file')
  to_predict = _questions(_DO_PREDICT.value, 'predict_file')
  scores = [_run(job, tokenizer, to_train, to_predict) for job in jobs]
  if to_predict and len(jobs) > 1:
    best = max(range(len(jobs)), key=scores.__getitem__)
    print(f'best: learning rate {jobs[best].learning_rate:g}, F1 '
          f'{scores[best]:.3f}')


def main() -> None:
  """Fine-tunes with each learning rate and scores the answers."""
  tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
  if not (_DO_TRAIN.value or _DO_PREDICT.value or _DRY_RUN.value):
    raise errors.InputError('expected --do_train, --do_predict or --dry_run')
  rates, output = _LEARNING_RATE.value, _OUTPUT_DIR.value
  jobs = [_job(rate, output if len(rates) == 1
               else os.path.join(output, f'{rate:g}')) for rate in rates]
  if _DRY_RUN.value:
    squad.dry_run(jobs[0])
  else:
    _train_and_score(jobs)


if __name__ == '__main__':
  command_line.run(main, finalize=False)
