"""Trains, evaluates and applies the UNet.

  python scripts/mtf_unet/train.py --config=configs/mtf_unet/hippocampus.py \
      --mode=train --data_dir=PREPARED --model_dir=MODEL
  ... --mode=eval --data_dir=PREPARED --model_dir=MODEL
  ... --mode=predict --model_dir=MODEL --input=FILE_OR_FOLDER --output=FOLDER
  ... --mode=export --model_dir=MODEL --output=SAVED_MODEL
  ... --mode=predict --saved_model=SAVED_MODEL --input=... --output=FOLDER

Any key of the config can be set: --config.training.steps=500. The same command
started again resumes from the last checkpoint.
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
import prediction_files
import run_record
import tensorflow as tf
import tqdm

from mtf_unet import case_source
from mtf_unet import checkpoints
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import evaluation
from mtf_unet import export
from mtf_unet import inference
from mtf_unet import optimizers
from mtf_unet import saved_model
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
_SPLIT = flags.DEFINE_enum(
    'split', 'validation', ['train', 'validation'], 'Cases to evaluate.')
_INPUT = flags.DEFINE_string(
    'input', None, 'Scan to predict (NIfTI, MHA, NRRD, a folder of DICOM '
    'slices) or folder of scans.')
_OUTPUT = flags.DEFINE_string(
    'output', None, 'Folder for predictions, or of the SavedModel to make.')
_PROBABILITIES = flags.DEFINE_boolean(
    'probabilities', False, 'Also write the class probabilities.')
_USE_TPU = flags.DEFINE_boolean('use_tpu', False, 'Run on a TPU.')
_TPU_NAME = flags.DEFINE_string('tpu_name', None, 'Name of the TPU.')
_TPU_ZONE = flags.DEFINE_string('tpu_zone', None, 'Zone of the TPU.')
_GCP_PROJECT = flags.DEFINE_string('gcp_project', None, 'Its project.')
_MASTER = flags.DEFINE_string(
    'master', '', 'TensorFlow server to run on (grpc://host:port).')


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
  config, model_dirs = job.config, _model_dirs(job)
  source = case_source.open_split(_DATA_DIR.value, config.data, _SPLIT.value)
  predictor = inference.ensemble_of(config, job.partition, model_dirs,
                                    job.master)
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
    predictor = saved_model.SavedModelPredictor(_SAVED_MODEL.value,
                                                job.config.data)
  else:
    predictor = inference.from_model_dir(
        job.config, job.partition, *_model_dirs(job), master=job.master)
  prediction_files.predict(predictor, job.config, _INPUT.value, _OUTPUT.value,
                           with_probabilities=_PROBABILITIES.value)


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
  if _USE_TPU.value:
    raise errors.InputError(
        '--use_tpu: the per-core TPU program is not built yet, expected '
        '--use_tpu=false (CPU, GPU, or a server by --master)')


def main() -> None:
  """Runs one mode."""
  tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
  _check_flags()
  config = config_lib.from_mapping(_CONFIG.value)
  job = training.Job(
      config, _MODEL_DIR.value,
      master=_MASTER.value, factories={**optimizers.BUILT_IN, 'lamb': _lamb},
      report=_report, run=run_record.describe(
          dataclasses.asdict(config), config.training.seed))
  modes = {'predict': _predict, 'eval': _evaluate, 'export': _export}
  if _MODE.value in modes:
    modes[_MODE.value](job)
  else:
    _train(job, with_evaluation=_MODE.value == 'train_and_eval')


if __name__ == '__main__':
  command_line.run(main)
