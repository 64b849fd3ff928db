"""Pre-trains BERT by LAMB, AdamW or LARS, as a TPUEstimator job.

    python scripts/lamb/pretrain_bert.py --do_train --do_eval \
        --bert_config_file=bert_config.json --input_file=OUT/train.tfrecord \
        --eval_file=OUT/eval.tfrecord --output_dir=MODEL \
        --train_batch_size=64 --num_train_steps=1000 --num_warmup_steps=100

The flags are google-research/bert's, and some of the paper's: --optimizer,
--recipe=untuned, --accumulate_steps, and --stages=128x65536x7038,
512x32768x1561 (sequence x batch x steps). Records are what
create_pretraining_data.py writes. The same command started again resumes from
the last checkpoint; --dry_run builds the job and reads no data.
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
from lamb.bert import checkpoints
from lamb.bert import config as config_lib
from lamb.bert import input_pipeline
from lamb.bert import machine
from lamb.bert import model
from lamb.bert import optimizers
from lamb.bert import pretraining
from lamb.bert import stages as stages_lib

_BERT_CONFIG_FILE = flags.DEFINE_string(
    'bert_config_file', None, 'Sizes of the network, JSON.', required=True)
_INPUT_FILE = flags.DEFINE_string(
    'input_file', None, 'Records to train on (without --eval_file those of the '
    'last stage also to evaluate on): files or patterns, divided by commas.')
_EVAL_FILE = flags.DEFINE_string(
    'eval_file', None, 'Records to evaluate on.')
_OUTPUT_DIR = flags.DEFINE_string(
    'output_dir', None, 'Folder of checkpoints and results.', required=True)
_INIT_CHECKPOINT = flags.DEFINE_string(
    'init_checkpoint', '', 'Checkpoint of BERT to start from.')
_DO_TRAIN = flags.DEFINE_bool('do_train', False, 'Train.')
_DO_EVAL = flags.DEFINE_bool('do_eval', False, 'Evaluate.')
_DRY_RUN = flags.DEFINE_bool(
    'dry_run', False, 'Build the job, read no data, write nothing.')
_MAX_SEQ_LENGTH = flags.DEFINE_integer(
    'max_seq_length', 128, 'Tokens in a record.')
_MAX_PREDICTIONS = flags.DEFINE_integer(
    'max_predictions_per_seq', 0,
    'Masked positions in a record; 0: 5/32 of the tokens (20 of 128).')
_TRAIN_BATCH_SIZE = flags.DEFINE_integer(
    'train_batch_size', 32, 'Examples in a step, over all replicas.')
_EVAL_BATCH_SIZE = flags.DEFINE_integer(
    'eval_batch_size', 8, 'Examples in a step of the evaluation.')
_NUM_TRAIN_STEPS = flags.DEFINE_integer('num_train_steps', 100000, 'Steps.')
_STAGES = flags.DEFINE_string(
    'stages', None, 'SEQUENCExBATCHxSTEPS of each stage, divided by commas, in '
    'place of --max_seq_length, --train_batch_size, --num_train_steps.')
_LEARNING_RATE = flags.DEFINE_list(
    'learning_rate', ['5e-5'], 'Peak; one for all stages or one for each.')
_NUM_WARMUP_STEPS = flags.DEFINE_list(
    'num_warmup_steps', None,
    'Warmup; one for all stages or one for each; 10000 without --recipe.')
_START_WARMUP_STEP = flags.DEFINE_integer(
    'start_warmup_step', 0, 'Only 0: each stage warms up from its own start.')
_POLY_POWER = flags.DEFINE_float(
    'poly_power', 1.0, 'Power of the polynomial decay.')
_RECIPE = flags.DEFINE_enum(
    'recipe', None, ['untuned'],
    'The paper\'s: learning rate by the square root of the batch, 3125 steps '
    'of warmup.')
_OPTIMIZER = flags.DEFINE_enum(
    'optimizer', 'lamb', optimizers.NAMES, 'Optimizer.')
_BIAS_CORRECTION = flags.DEFINE_bool(
    'bias_correction', False, 'Correct the moments (the authors\' code does '
    'not).')
_WEIGHT_DECAY = flags.DEFINE_float('weight_decay', 0.01, 'Lambda.')
_CLIP_NORM = flags.DEFINE_float(
    'clip_norm', 1.0, 'Largest global norm of the gradient; 0: any.')
_ACCUMULATE_STEPS = flags.DEFINE_integer(
    'accumulate_steps', 1, 'Micro-batches into which a batch is divided.')
_ACTIVATION_DTYPE = flags.DEFINE_enum(
    'activation_dtype', 'float32', model.DTYPES, 'Of the activations in '
    'training; bfloat16 is faster where the processor multiplies it.')
_SEED = flags.DEFINE_integer('seed', 12345, 'Of everything random.')
_SAVE_CHECKPOINTS_STEPS = flags.DEFINE_integer(
    'save_checkpoints_steps', 1000, 'Steps between checkpoints.')
_ITERATIONS_PER_LOOP = flags.DEFINE_integer(
    'iterations_per_loop', 1000, 'Steps that a TPU makes by itself.')
_MAX_EVAL_STEPS = flags.DEFINE_integer(
    'max_eval_steps', 100, 'Batches of the evaluation; 0: all records.')
_REPLICAS = flags.DEFINE_integer(
    'replicas', 1, 'Data-parallel replicas on this machine.')
_DEVICES = flags.DEFINE_list(
    'devices', [], 'Of the replicas, such as /gpu:0,/gpu:1; else CPUs.')
_USE_TPU = flags.DEFINE_bool(
    'use_tpu', False, 'Run on a TPU (untested: we have none).')
_TPU_NAME = flags.DEFINE_string('tpu_name', None, 'Name of the TPU.')
_TPU_ZONE = flags.DEFINE_string('tpu_zone', None, 'Zone of the TPU.')
_GCP_PROJECT = flags.DEFINE_string('gcp_project', None, 'Its project.')
_MASTER = flags.DEFINE_string(
    'master', '', 'TensorFlow server to run on (grpc://host:port).')
_NUM_TPU_CORES = flags.DEFINE_integer('num_tpu_cores', 8, 'Cores of the TPU.')

_DEFAULT_WARMUP_STEPS = 10000


def _stages() -> tuple[stages_lib.Stage, ...]:
  if _START_WARMUP_STEP.value:
    raise errors.InputError(
        f'--start_warmup_step={_START_WARMUP_STEP.value}: expected 0, each '
        'stage warms up from its own start')
  sizes = [(_MAX_SEQ_LENGTH.value, _TRAIN_BATCH_SIZE.value,
            _NUM_TRAIN_STEPS.value)]
  if _STAGES.value:
    sizes = stages_lib.parse(_STAGES.value)
  options = {'max_predictions': _MAX_PREDICTIONS.value,
             'power': _POLY_POWER.value}
  warmups = _numbers('num_warmup_steps', _NUM_WARMUP_STEPS.value, int)
  if _RECIPE.value == 'untuned':
    if flags.FLAGS['learning_rate'].present:
      raise errors.InputError(
          '--recipe=untuned: sets the learning rate by itself, expected no '
          '--learning_rate')
    return stages_lib.untuned(sizes, warmups, **options)
  rates = _numbers('learning_rate', _LEARNING_RATE.value, float)
  return stages_lib.tuned(
      sizes, rates, warmups or [_DEFAULT_WARMUP_STEPS], **options)


def _numbers(name, values, kind):
  try:
    return [kind(value) for value in values or ()]
  except ValueError as error:
    raise errors.InputError(
        f'--{name}={",".join(values)}: expected numbers') from error


def _machine() -> machine.Machine:
  cluster = None
  if _USE_TPU.value and not _DRY_RUN.value:
    if not _TPU_NAME.value:
      raise errors.InputError('--use_tpu needs --tpu_name')
    cluster = tf.distribute.cluster_resolver.TPUClusterResolver(
        _TPU_NAME.value, zone=_TPU_ZONE.value, project=_GCP_PROJECT.value)
  return machine.Machine(
      replicas=len(_DEVICES.value) or _REPLICAS.value,
      devices=tuple(_DEVICES.value), master=_MASTER.value,
      use_tpu=_USE_TPU.value, cluster=cluster, tpu_cores=_NUM_TPU_CORES.value,
      iterations_per_loop=_ITERATIONS_PER_LOOP.value)


def _job() -> pretraining.Job:
  needs_records = not _DRY_RUN.value and (
      _DO_TRAIN.value or not _EVAL_FILE.value)
  return pretraining.Job(
      config=config_lib.read(_BERT_CONFIG_FILE.value),
      model_dir=_OUTPUT_DIR.value, stages=_stages(),
      optimizer=optimizers.OptimizerConfig(
          name=_OPTIMIZER.value, weight_decay=_WEIGHT_DECAY.value,
          bias_correction=_BIAS_CORRECTION.value,
          clip_norm=_CLIP_NORM.value),
      input_files=(_records('input_file') if needs_records else ()),
      accumulate_steps=_ACCUMULATE_STEPS.value, seed=_SEED.value,
      save_checkpoints_steps=_SAVE_CHECKPOINTS_STEPS.value,
      init_checkpoint=_INIT_CHECKPOINT.value,
      activation_dtype=_ACTIVATION_DTYPE.value,
      eval_batch_size=_EVAL_BATCH_SIZE.value,
      max_eval_steps=_MAX_EVAL_STEPS.value or None, machine=_machine(),
      report=functools.partial(print, flush=True))


def _records(name):
  if not flags.FLAGS[name].value:
    raise errors.InputError(f'--{name}: missing, expected record files')
  return input_pipeline.expand(flags.FLAGS[name].value)


def _train(job: pretraining.Job) -> None:
  try:
    pretraining.train(job)
  except KeyboardInterrupt:
    step = checkpoints.step_of(checkpoints.latest(job.model_dir))
    raise errors.InputError(
        f'stopped; the same command resumes from step {step}') from None


def main() -> None:
  """Trains and evaluates."""
  tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
  if not (_DO_TRAIN.value or _DO_EVAL.value or _DRY_RUN.value):
    raise errors.InputError('expected --do_train, --do_eval or --dry_run')
  job = _job()
  if _DRY_RUN.value:
    pretraining.dry_run(job)
    return
  if _DO_TRAIN.value:
    _train(job)
  if _DO_EVAL.value:
    files = (_records('eval_file') if _EVAL_FILE.value
             else pretraining.stage_files(job)[-1])
    for name, value in sorted(pretraining.evaluate(job, files).items()):
      print(f'{name} = {value}')


if __name__ == '__main__':
  command_line.run(main, finalize=False)
