"""Trains, scores and exports the float network of the loop filter.

  python scripts/cnn_loopfilter/train.py \
      --config=configs/cnn_loopfilter/filter_64.py --mode=train_and_eval \
      --data_dir=PATCHES --eval_dir=HELD_OUT_PATCHES --model_dir=MODEL
  ... --mode=eval --eval_dir=HELD_OUT_PATCHES --model_dir=MODEL
  ... --mode=export --model_dir=MODEL --output=FILTER.npz

Patches are what prepare_frames.py writes. Any key of the config can be set:
--config.training.steps=500. The same command started again resumes from the
last checkpoint.
"""

import os

# Before TensorFlow is imported: oneDNN's convolutions are faster.
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
import optimizer_factories
import tensorflow as tf
import tqdm

from cnn_loopfilter import checkpoints
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import errors
from cnn_loopfilter import patch_scores
from cnn_loopfilter import records
from cnn_loopfilter import training

_CONFIG = command_line.define_config(config_lib.Config)
_MODE = flags.DEFINE_enum(
    'mode', 'train', ['train', 'eval', 'train_and_eval', 'export'],
    'What to do.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Patches to train on.')
_EVAL_DIR = flags.DEFINE_string('eval_dir', None, 'Held-out patches.')
_MODEL_DIR = flags.DEFINE_string(
    'model_dir', None, 'Folder of checkpoints and event files.')
_OUTPUT = flags.DEFINE_string('output', None, 'Float filter (.npz) to write.')
_DRY_RUN = flags.DEFINE_boolean(
    'dry_run', False, 'Build the training step, read no data.')
_USE_TPU = flags.DEFINE_boolean(
    'use_tpu', False, 'Run on a TPU (untested: we have none).')
_TPU_NAME = flags.DEFINE_string('tpu_name', None, 'Name of the TPU.')
_TPU_ZONE = flags.DEFINE_string('tpu_zone', None, 'Zone of the TPU.')
_GCP_PROJECT = flags.DEFINE_string('gcp_project', None, 'Its project.')
flags.mark_flag_as_required('model_dir')

_NEEDED = {'train': ['data_dir'], 'eval': ['eval_dir'],
           'train_and_eval': ['data_dir', 'eval_dir'], 'export': ['output']}
_EVALUATION_BATCH = 32


def _job() -> training.Job:
  cluster = None
  if _USE_TPU.value:
    if not _TPU_NAME.value:
      raise errors.InputError('--use_tpu needs --tpu_name')
    cluster = tf.distribute.cluster_resolver.TPUClusterResolver(
        _TPU_NAME.value, zone=_TPU_ZONE.value, project=_GCP_PROJECT.value)
  return training.Job(
      config_lib.from_mapping(_CONFIG.value), _MODEL_DIR.value,
      factories=optimizer_factories.FACTORIES, report=_report,
      use_tpu=_USE_TPU.value, cluster=cluster)


def _report(line: str) -> None:
  """Prints at once, above a progress bar where there is one."""
  tqdm.tqdm.write(line)
  sys.stdout.flush()


def _held_out():
  return functools.partial(records.evaluation_dataset, _EVAL_DIR.value,
                           _EVALUATION_BATCH)


def _train(job: training.Job) -> None:
  settings = job.config.training
  def patches(start_step):
    return records.training_dataset(
        _DATA_DIR.value, batch_size=settings.batch_size, seed=settings.seed,
        start_step=start_step, augment=settings.augment)
  try:
    training.train(job, patches,
                   _held_out() if _MODE.value == 'train_and_eval' else None)
  except KeyboardInterrupt:
    step = checkpoints.step_of(checkpoints.latest(job.model_dir))
    raise errors.InputError(
        f'stopped; the same command resumes from step {step}') from None


def main() -> None:
  """Runs one mode."""
  tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
  for name in _NEEDED[_MODE.value]:
    if not flags.FLAGS[name].value:
      raise errors.InputError(f'--mode={_MODE.value} needs --{name}')
  if _DRY_RUN.value:
    config = config_lib.from_mapping(_CONFIG.value)
    training.dry_run(config, optimizer_factories.FACTORIES)
    print(f'{config.training.steps} steps of {config.training.batch_size} '
          'patches; no data was read')
    return
  job = _job()
  # All before the first step: a training takes hours.
  for name in {'data_dir', 'eval_dir'}.intersection(_NEEDED[_MODE.value]):
    records.check_shards(flags.FLAGS[name].value, job.config.data.depth)
  if _MODE.value == 'eval':
    print(patch_scores.format_table(training.score(job, _held_out())))
  elif _MODE.value == 'export':
    checkpoints.read_filter(_MODEL_DIR.value).save(_OUTPUT.value)
    print(f'Written to {_OUTPUT.value}')
  else:
    _train(job)


if __name__ == '__main__':
  command_line.run(main)
