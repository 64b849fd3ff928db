"""Trains, evaluates and applies the UNet.

  python scripts/mtf_unet/train.py --config=configs/mtf_unet/hippocampus.py \
      --mode=train --data_dir=PREPARED --model_dir=MODEL
  ... --mode=eval --data_dir=PREPARED --model_dir=MODEL
  ... --mode=predict --model_dir=MODEL --input=FILE_OR_FOLDER --output=FOLDER

Any key of the config can be set: --config.training.steps=500. The same command
started again resumes from the last checkpoint.
"""

import os

# Before TensorFlow is imported: oneDNN's convolutions are four times faster.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import dataclasses
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import item_progress
import prediction_files
import tensorflow as tf
import tqdm

from mtf_unet import case_source
from mtf_unet import checkpoints
from mtf_unet import cluster
from mtf_unet import cluster_session
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import evaluation
from mtf_unet import inference
from mtf_unet import metrics
from mtf_unet import optimizers
from mtf_unet import training

_CONFIG = command_line.define_config(config_lib.Config)
_MODE = flags.DEFINE_enum(
    'mode', 'train', ['train', 'eval', 'train_and_eval', 'predict'],
    'What to do.')
_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Folder that prepare_volumes.py has filled.')
_MODEL_DIR = flags.DEFINE_string(
    'model_dir', None, 'Folder of checkpoints and event files.')
_SPLIT = flags.DEFINE_enum(
    'split', 'validation', ['train', 'validation'], 'Cases to evaluate.')
_INPUT = flags.DEFINE_string(
    'input', None, 'Scan (NIfTI) or folder of scans to predict.')
_OUTPUT = flags.DEFINE_string('output', None, 'Folder for predictions.')
_PROBABILITIES = flags.DEFINE_boolean(
    'probabilities', False, 'Also write the class probabilities.')
_USE_TPU = flags.DEFINE_boolean('use_tpu', False, 'Run on a TPU.')
_TPU_NAME = flags.DEFINE_string('tpu_name', None, 'Name of the TPU.')
_TPU_ZONE = flags.DEFINE_string('tpu_zone', None, 'Zone of the TPU.')
_GCP_PROJECT = flags.DEFINE_string('gcp_project', None, 'Its project.')
_MASTER = flags.DEFINE_string(
    'master', '', 'TensorFlow server to run on (grpc://host:port).')
_CLUSTER = flags.DEFINE_string(
    'cluster', '', 'Workers to run on, host:port,host:port,... '
    '(run_worker.py on each machine).')
_CLIENT = flags.DEFINE_string(
    'client', '', 'Where workers on other machines reach this one, host:port.')
flags.mark_flag_as_required('model_dir')


def _lamb(learning_rate, config, step):
  """LAMB for the mesh, from the package next door."""
  from lamb import mesh as lamb_mesh
  return lamb_mesh.LambOptimizer(
      learning_rate, weight_decay=config.weight_decay, global_step=step)


def _train(job: training.Job, with_evaluation: bool) -> None:
  data = job.config.data
  source = case_source.open_split(_DATA_DIR.value, data, 'train')
  validation = (case_source.open_split(_DATA_DIR.value, data, 'validation')
                if with_evaluation else None)
  try:
    training.train(job, source, validation)
  except KeyboardInterrupt:
    step = checkpoints.step_of(checkpoints.latest(job.model_dir))
    raise errors.InputError(
        f'stopped; the same command resumes from step {step}') from None


def _evaluate(job: training.Job) -> None:
  config = job.config
  source = case_source.open_split(_DATA_DIR.value, config.data, _SPLIT.value)
  checkpoints.check_folder(job.model_dir, config, training=False)
  checkpoint = checkpoints.for_prediction(job.model_dir)
  predictor = inference.Predictor(config, job.partition, config.data.size,
                                  master=job.master, cluster=job.cluster)
  predictor.restore(checkpoint)
  _report(f'Evaluating {checkpoint}')
  summary = evaluation.evaluate(predictor, source, config,
                                item_progress.ItemProgress('case'))
  path = evaluation.write_scores(
      evaluation.folder(job.model_dir, _SPLIT.value), summary,
      checkpoints.step_of(checkpoint))
  print(metrics.format_table(summary))
  print(f'Written to {path}')


def _predict(job: training.Job) -> None:
  predictor = inference.from_model_dir(job.config, job.partition,
                                       job.model_dir, job.master, job.cluster)
  prediction_files.predict(predictor, job.config, _INPUT.value, _OUTPUT.value,
                           with_probabilities=_PROBABILITIES.value)


def _report(line: str) -> None:
  """Prints at once, above a progress bar where there is one."""
  tqdm.tqdm.write(line)
  sys.stdout.flush()


def _check_flags() -> None:
  needed = {'predict': ['input', 'output']}.get(_MODE.value, ['data_dir'])
  for name in needed:
    if not flags.FLAGS[name].value:
      raise errors.InputError(f'--mode={_MODE.value} needs --{name}')
  if _USE_TPU.value:
    raise errors.InputError(
        '--use_tpu: the per-core TPU program is not built yet, expected '
        '--use_tpu=false (CPU, GPU, or a server by --master)')
  if _CLUSTER.value and _MASTER.value:
    raise errors.InputError(
        f'--cluster: got it beside --master={_MASTER.value}, expected one of '
        'the two')


def _run(job: training.Job) -> None:
  """Runs one mode."""
  if _MODE.value == 'predict':
    _predict(job)
  elif _MODE.value == 'eval':
    _evaluate(job)
  else:
    _train(job, with_evaluation=_MODE.value == 'train_and_eval')


def main() -> None:
  """Runs one mode, here or on a cluster."""
  tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
  _check_flags()
  job = training.Job(
      config_lib.from_mapping(_CONFIG.value), _MODEL_DIR.value,
      master=_MASTER.value, factories={**optimizers.BUILT_IN, 'lamb': _lamb},
      report=_report)
  if not _CLUSTER.value:
    _run(job)
    return
  client = (cluster.parse_address(_CLIENT.value, '--client')
            if _CLIENT.value else None)
  workers = cluster_session.Cluster(cluster.parse(_CLUSTER.value), client,
                                    report=_report)
  workers.run(lambda: _run(dataclasses.replace(job, cluster=workers)))


if __name__ == '__main__':
  command_line.run(main)
