"""Trains and evaluates ResNet-50 or DavidNet as a TPUEstimator job.

    python scripts/lamb/train_image_classifier.py \
        --config=configs/lamb/resnet50_32k.py --data_dir=TFDS \
        --model_dir=MODEL --mode=train_and_eval
    ... --dry_run       # builds the graphs, reads no data

--data_dir holds data sets of tensorflow-datasets; one that is missing is
downloaded, where its owner allows that. Any key of the config can be set:
--config.training.steps=500. An interrupted run is continued by the same
command.
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

import dataclasses
import functools

from absl import flags
import command_line
import run_record
import tensorflow as tf

from lamb import errors
from lamb.images import config as config_lib
from lamb.images import job as job_lib
from lamb.images import records

_CONFIG = command_line.define_config()
_MODE = flags.DEFINE_enum(
    'mode', 'train_and_eval', ['train', 'eval', 'train_and_eval'],
    'What to do.')
_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Folder of data sets; else tensorflow-datasets\' own.')
_MODEL_DIR = flags.DEFINE_string(
    'model_dir', None, 'Folder of checkpoints, event files and metrics.')
_DRY_RUN = flags.DEFINE_boolean(
    'dry_run', False, 'Build the job, read no data.')
_USE_TPU = flags.DEFINE_boolean('use_tpu', False, 'Run on a TPU.')
_TPU_NAME = flags.DEFINE_string('tpu_name', None, 'Name of the TPU.')
_TPU_ZONE = flags.DEFINE_string('tpu_zone', None, 'Zone of the TPU.')
_GCP_PROJECT = flags.DEFINE_string('gcp_project', None, 'Its project.')
_MASTER = flags.DEFINE_string(
    'master', '', 'TensorFlow server to run on (grpc://host:port).')
_ITERATIONS = flags.DEFINE_integer(
    'iterations_per_loop', 100, 'Steps on a TPU between two reports.',
    lower_bound=1)
flags.mark_flag_as_required('model_dir')


def _open(config: config_lib.Config, split: str) -> records.Source:
  return records.open_split(config.data.dataset, split, _DATA_DIR.value,
                            config.data.num_classes)


def _job(config: config_lib.Config) -> job_lib.Job:
  cluster = None
  if _USE_TPU.value:
    if not _TPU_NAME.value:
      raise errors.InputError('--tpu_name: got none, expected the name of a '
                              'TPU with --use_tpu.')
    cluster = tf.distribute.cluster_resolver.TPUClusterResolver(
        _TPU_NAME.value, zone=_TPU_ZONE.value, project=_GCP_PROJECT.value)
  return job_lib.Job(
      config, _MODEL_DIR.value, functools.partial(print, flush=True),
      run_record.describe(dataclasses.asdict(config), config.training.seed),
      _USE_TPU.value, cluster, _MASTER.value, _ITERATIONS.value)


def main() -> None:
  """Runs one mode."""
  tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
  config = config_lib.from_mapping(_CONFIG.value)
  if _DRY_RUN.value:
    parameters = job_lib.dry_run(config)
    print(f'{config.network.name}: {parameters} parameters, '
          f'{config.training.steps} steps of {config.training.batch_size} by '
          f'{config.optimizer.name}; no data was read')
    return
  job = _job(config)
  if _MODE.value == 'eval':
    job_lib.evaluate(job, _open(config, config.data.eval_split))
    return
  held_out = (_open(config, config.data.eval_split)
              if _MODE.value == 'train_and_eval' else None)
  try:
    job_lib.train(job, _open(config, config.data.train_split), held_out)
  except KeyboardInterrupt:
    raise errors.InputError(
        'stopped; the same command resumes from step '
        f'{job_lib.latest_step(job.model_dir)}.') from None


if __name__ == '__main__':
  command_line.run(main)
