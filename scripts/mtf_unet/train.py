"""Trains, evaluates and applies the UNet.

  python scripts/mtf_unet/train.py --config=configs/mtf_unet/hippocampus.py \
      --mode=train --data_dir=PREPARED --model_dir=MODEL
  ... --mode=eval --data_dir=PREPARED --model_dir=MODEL
  ... --mode=predict --model_dir=MODEL --input=FILE_OR_FOLDER --output=FOLDER
  ... --mode=export --model_dir=MODEL --output=SAVED_MODEL
  ... --mode=predict --saved_model=SAVED_MODEL --input=... --output=FOLDER

Any key of the config can be set: --config.training.steps=500. The same command
started again resumes from the last checkpoint.

On a TPU: --use_tpu, on a TPU VM alone, else with --tpu_name or --master; with
--dry_run --tpu_cores=8 the job is built for a made-up TPU, described and left.
On several machines: run_worker.py on each, and --cluster here
(docs/cluster.md).
"""

import os

# Before TensorFlow is imported: oneDNN's convolutions are four times faster.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

import dataclasses

from absl import flags
import command_line
import evaluation_files
import mesh_optimizers
import prediction_files
import run_record
import tensorflow as tf
import tqdm

from mtf_unet import atomic_file
from mtf_unet import block_files
from mtf_unet import case_source
from mtf_unet import checkpoints
from mtf_unet import cluster
from mtf_unet import cluster_session
from mtf_unet import cluster_training
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import evaluation
from mtf_unet import export
from mtf_unet import inference
from mtf_unet import progress
from mtf_unet import saved_model
from mtf_unet import slab_prediction
from mtf_unet import split_search
from mtf_unet import tpu_job
from mtf_unet import tpu_program
from mtf_unet import tpu_system
from mtf_unet import training

_CONFIG = command_line.define_config(config_lib.Config)
_MODE = flags.DEFINE_enum(
    'mode', 'train', ['train', 'eval', 'train_and_eval', 'predict', 'export'],
    'What to do.')
_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Folder that prepare_volumes.py has filled.')
_MODEL_DIR = flags.DEFINE_string(
    'model_dir', None, 'Folder of checkpoints and event files.')
_ENSEMBLE = flags.DEFINE_multi_string(
    'ensemble', [], 'Further model folder whose probabilities are averaged '
    'with those of --model_dir (eval, predict, export); may be repeated.')
_SAVED_MODEL = flags.DEFINE_string(
    'saved_model', None, 'Predict with this SavedModel of --mode=export.')
_REPORT = flags.DEFINE_boolean(
    'report', False, 'Also write an HTML report of the evaluation.')
_BLOCK_DIR = flags.DEFINE_string(
    'block_dir', None, 'With --use_tpu: folder that cut_volumes.py has filled, '
    'which the hosts read in place of --data_dir.')
_SPLIT = flags.DEFINE_enum(
    'split', 'validation', ['train', 'validation'], 'Cases to evaluate.')
_INPUT = flags.DEFINE_string(
    'input', None, 'Scan to predict (NIfTI, MHA, NRRD, a folder of DICOM '
    'slices) or folder of scans.')
_OUTPUT = flags.DEFINE_string(
    'output', None, 'Folder for predictions, or of the SavedModel to make.')
_PROBABILITIES = flags.DEFINE_boolean(
    'probabilities', False, 'Also write the class probabilities.')
_SCRATCH_DIR = flags.DEFINE_string(
    'scratch_dir', None, 'Folder on a disk for the temporary file of '
    'prediction by slabs with instance norm (eval, predict); by default '
    '--output, without one what the system names.')
_USE_TPU = flags.DEFINE_boolean(
    'use_tpu', False, 'Run on a TPU: that of this machine (a TPU VM), of '
    '--master or of --tpu_name.')
_TPU_NAME = flags.DEFINE_string('tpu_name', None, 'Name of a Cloud TPU.')
_TPU_ZONE = flags.DEFINE_string('tpu_zone', None, 'Zone of the named TPU.')
_GCP_PROJECT = flags.DEFINE_string('gcp_project', None, 'Its project.')
_TPU_CORES = flags.DEFINE_integer(
    'tpu_cores', None, 'Cores of the TPU that --dry_run makes up.',
    lower_bound=1)
_DRY_RUN = flags.DEFINE_boolean(
    'dry_run', False, 'With --use_tpu: build the job, describe it and stop.')
_MASTER = flags.DEFINE_string(
    'master', '', 'TensorFlow server to run on (grpc://host:port): that of a '
    'TPU, or one that evaluates or predicts.')
_CLUSTER = flags.DEFINE_string(
    'cluster', '', 'Workers to run on, host:port,host:port,... '
    '(run_worker.py on each machine).')
_CLIENT = flags.DEFINE_string(
    'client', '', 'Where workers on other machines reach this one, host:port.')


def _train(job: training.Job, with_evaluation: bool) -> None:
  data = job.config.data
  source = (job.files if _BLOCK_DIR.value else
            case_source.open_split(_DATA_DIR.value, data, 'train'))
  validation = (case_source.open_split(_DATA_DIR.value, data, 'validation')
                if with_evaluation else None)
  training.train(job, source, validation)


def _evaluate(job: training.Job) -> None:
  config, model_dirs = job.config, _model_dirs(job)
  source = case_source.open_split(_DATA_DIR.value, config.data, _SPLIT.value)
  predictor = inference.ensemble_of(config, job.partition, model_dirs,
                                    job.predictor, _workspace())
  used = ', '.join(predictor.checkpoints)
  _report(f'Evaluating {used}')
  evaluation_files.evaluate(
      predictor, source, config,
      evaluation.folder(job.model_dir, _SPLIT.value, len(model_dirs)),
      step=checkpoints.step_of(predictor.checkpoints[0]),
      details=f'{used} on {len(source)} cases of the {_SPLIT.value} split of '
      f'{_DATA_DIR.value}', with_report=_REPORT.value, run=job.run)


def _predict(job: training.Job) -> None:
  if _SAVED_MODEL.value:
    method = job.config.prediction.method
    if method != 'whole':
      raise errors.InputError(
          f"config key prediction.method: got {method!r}, expected 'whole' "
          'beside --saved_model, which takes volumes in one pass')
    predictor = saved_model.SavedModelPredictor(_SAVED_MODEL.value,
                                                job.config.data)
  else:
    predictor = inference.from_model_dir(
        job.config, job.partition, *_model_dirs(job), make=job.predictor,
        workspace=_workspace())
  prediction_files.predict(predictor, job.config, _INPUT.value, _OUTPUT.value,
                           with_probabilities=_PROBABILITIES.value)


def _workspace() -> slab_prediction.Workspace:
  return slab_prediction.Workspace(_SCRATCH_DIR.value or _OUTPUT.value,
                                   progress.ShareProgress('slabs'))


def _export(job: training.Job) -> None:
  used = export.export(job.config, _model_dirs(job), _OUTPUT.value)
  print(f'SavedModel of {", ".join(used)} in {_OUTPUT.value}')


def _model_dirs(job):
  return [job.model_dir, *_ENSEMBLE.value]


def _report(line: str) -> None:
  """Prints at once, above a progress bar where there is one."""
  tqdm.tqdm.write(line)
  sys.stdout.flush()


def _check_flags() -> None:
  needed = {'predict': ['input', 'output'], 'export': ['output']}.get(
      _MODE.value, ['data_dir'])
  if _DRY_RUN.value or (_MODE.value == 'train' and _BLOCK_DIR.value):
    needed = []
  if not (_MODE.value == 'predict' and _SAVED_MODEL.value):
    needed = ['model_dir', *needed]
  for name in needed:
    if not flags.FLAGS[name].value:
      raise errors.InputError(f'--mode={_MODE.value} needs --{name}')
  if _ENSEMBLE.value and (_MODE.value.startswith('train')
                          or _SAVED_MODEL.value):
    raise errors.InputError(
        '--ensemble: expected with --mode=eval, predict or export, and not '
        'beside --saved_model')
  for name, mode in (('saved_model', 'predict'), ('probabilities', 'predict'),
                     ('report', 'eval')):
    if flags.FLAGS[name].value and _MODE.value != mode:
      raise errors.InputError(f'--{name}: expected with --mode={mode} alone')
  if 'eval' in _MODE.value and atomic_file.is_remote(_MODEL_DIR.value):
    raise errors.InputError(
        f'--model_dir: {_MODEL_DIR.value} is in a bucket, expected a folder of '
        f'this machine with --mode={_MODE.value}, which writes scores there')
  _check_machine_flags()


def _check_machine_flags() -> None:
  for name in ('tpu_name', 'dry_run', 'block_dir'):
    if flags.FLAGS[name].value and not _USE_TPU.value:
      raise errors.InputError(f'--{name} needs --use_tpu')
  if bool(_TPU_CORES.value) != _DRY_RUN.value:
    raise errors.InputError('--tpu_cores: expected it with --dry_run, and '
                            'only there; a TPU tells its cores itself')
  for name in ('use_tpu', 'master'):
    if _CLUSTER.value and flags.FLAGS[name].value:
      raise errors.InputError(f'--cluster: got it beside --{name}, expected '
                              'one of the two')
  if (_MASTER.value and not _USE_TPU.value
      and _MODE.value.startswith('train')):
    # The input calls Python, which is in this process alone.
    raise errors.InputError(
        f'--master: a server cannot read the cases of --mode={_MODE.value}; '
        'expected it with eval or predict, or beside --use_tpu; --cluster '
        'trains on other machines')
  if _CLIENT.value and not _CLUSTER.value:
    raise errors.InputError('--client needs --cluster')


def _connect() -> cluster_session.Cluster:
  client = (cluster.parse_address(_CLIENT.value, '--client')
            if _CLIENT.value else None)
  return cluster_session.Cluster(cluster.parse(_CLUSTER.value), client,
                                 report=_report)


def _job(workers: cluster_session.Cluster | None) -> training.Job:
  config = config_lib.from_mapping(_CONFIG.value)
  common = {'factories': mesh_optimizers.FACTORIES, 'report': _report,
            'run': run_record.describe(dataclasses.asdict(config),
                                       config.training.seed)}
  if workers is not None:
    return cluster_training.ClusterJob(config, _MODEL_DIR.value,
                                       cluster=workers, **common)
  if not _USE_TPU.value:
    return training.Job(config, _MODEL_DIR.value, master=_MASTER.value,
                        **common)
  system = (tpu_system.made(_TPU_CORES.value) if _DRY_RUN.value else
            tpu_system.reach(name=_TPU_NAME.value, zone=_TPU_ZONE.value,
                             project=_GCP_PROJECT.value, master=_MASTER.value))
  files = (block_files.open_folder(_BLOCK_DIR.value, config,
                                   split_search.partition_of(config))
           if _BLOCK_DIR.value else None)
  return tpu_job.TpuJob(config, _MODEL_DIR.value, system=system,
                        files=files, **common)


def _run(job: training.Job) -> None:
  modes = {'predict': _predict, 'eval': _evaluate, 'export': _export}
  if _DRY_RUN.value:
    print(tpu_program.summary(tpu_program.build(job)))
  elif _MODE.value in modes:
    modes[_MODE.value](job)
  else:
    _train(job, with_evaluation=_MODE.value == 'train_and_eval')


def main() -> None:
  """Runs one mode."""
  tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
  _check_flags()
  try:
    if _CLUSTER.value:
      workers = _connect()
      workers.run(lambda: _run(_job(workers)))
    else:
      _run(_job(None))
  except KeyboardInterrupt:
    if not _MODE.value.startswith('train'):
      raise
    step = checkpoints.newest_step(_MODEL_DIR.value)
    raise errors.InputError(
        f'stopped; the same command resumes from step {step}') from None


if __name__ == '__main__':
  command_line.run(main, finalize=False)
