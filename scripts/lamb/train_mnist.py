"""Trains LeNet on MNIST with large or full batches; compares optimizers.

    python scripts/lamb/train_mnist.py \
        --config=configs/lamb/mnist_full_batch.py --output_dir=runs/mnist \
        [--data_dir=FOLDER_WITH_IDX_FILES]

An interrupted run is continued by the same command. The table at the end
holds every optimizer that has finished in the output folder.
"""

import functools
import os
import pathlib
import sys

# Twice as fast on CPUs where TensorFlow leaves oneDNN off.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import run_record

from lamb import errors
from lamb.full_batch import idx_files
from lamb.full_batch import lenet
from lamb.full_batch import optimizers
from lamb.full_batch import results
from lamb.full_batch import training

_CONFIG = command_line.define_config()
_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Folder with the idx files; else tensorflow-datasets.')
_OUTPUT_DIR = flags.DEFINE_string(
    'output_dir', None, 'Folder for checkpoints and results.', required=True)
_DRY_RUN = flags.DEFINE_boolean(
    'dry_run', False, 'Build network and optimizers, read no data.')


def _run(config, name):
  shared = {key: value for key, value in config.to_dict().items()
            if key not in ('optimizers', 'save_every')
            and not isinstance(value, dict)}
  return run_record.describe(
      shared | {'optimizer': name, **config[name].to_dict()}, config.seed)


def _network(config):
  return lenet.LeNet(seed=config.seed,
                     activation_dtype=config.activation_dtype)


def _optimizer(config, name):
  if name not in config:
    raise errors.InputError(
        f'optimizer {name!r}: the config has none of this name.')
  settings = config[name]
  return optimizers.make(
      name, settings.learning_rate, settings.warmup_steps, config.steps,
      power=settings.power, weight_decay=settings.weight_decay,
      clip_norm=settings.clip_norm, bias_correction=settings.bias_correction)


def _dry_run(config):
  variables = _network(config).variables_in_order
  for name in config.optimizers:
    _optimizer(config, name).build(variables)
    print(f'{name}: {config.steps} steps of '
          f'{config.batch_size or config.train_images}; no data was read')


def main() -> None:
  """Trains with each optimizer of the configuration in turn."""
  config = _CONFIG.value
  if _DRY_RUN.value:
    _dry_run(config)
    return
  train_digits, test_digits = idx_files.load_mnist(_DATA_DIR.value)
  train_digits = idx_files.Digits(
      train_digits.images[:config.train_images],
      train_digits.labels[:config.train_images])
  job = training.FullBatchJob(
      steps=config.steps, slice_size=config.slice_size,
      dropout=config.dropout, seed=config.seed,
      evaluate_every=config.evaluate_every,
      batch_size=config.batch_size or None, save_every=config.save_every)
  output = pathlib.Path(_OUTPUT_DIR.value)
  for name in config.optimizers:
    print(f'== {name}', flush=True)
    folder = output / name
    folder.mkdir(parents=True, exist_ok=True)
    history = training.train(
        _network(config), _optimizer(config, name), train_digits, test_digits,
        job, str(folder), report=functools.partial(print, flush=True))
    results.write(folder, name, config[name].to_dict(), history,
                  _run(config, name))
  print(results.table(output))


if __name__ == '__main__':
  command_line.run(main)
