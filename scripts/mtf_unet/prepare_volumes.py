"""Prepares a folder of raw scans for training: checks, turns, resamples.

  python scripts/mtf_unet/prepare_volumes.py \
      --config=configs/mtf_unet/hippocampus.py \
      --input=FOLDER --data_dir=PREPARED

FOLDER holds dataset.json, imagesTr/ and labelsTr/ (Medical Segmentation
Decathlon), volume-N.nii[.gz] and segmentation-N.nii[.gz] (LiTS), or the
reference's GZIP TFRecords. Cases are held out as split.json in that folder
says, or --split_file, or else at random by data.validation_fraction.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import contextlib
import sys

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags
import tensorflow_datasets as tfds
import tqdm

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import medical_dataset

_CONFIG = config_flags.DEFINE_config_file('config', None, 'The experiment.')
_INPUT = flags.DEFINE_string('input', None, 'Folder of raw scans.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Folder to fill.')
_SPLIT_FILE = flags.DEFINE_string(
    'split_file', '', 'JSON with the cases of "train" and "validation".')
flags.mark_flags_as_required(['config', 'input', 'data_dir'])


class Progress:
  """Shows how far it is: a bar on a terminal, else a line each tenth."""

  def __init__(self):
    self._bar = None

  def __call__(self, done: int, total: int, name: str) -> None:
    if not sys.stderr.isatty():
      if done * 10 // total > (done - 1) * 10 // total:
        print(f'{done} of {total} cases', file=sys.stderr, flush=True)
      return
    if self._bar is None:
      self._bar = tqdm.tqdm(total=total, unit='case', file=sys.stderr)
    self._bar.set_postfix_str(name, refresh=False)
    self._bar.update(done - self._bar.n)
    if done == total:
      self._bar.close()


def main(_) -> None:
  """Prepares one folder."""
  # tensorflow-datasets speaks of downloads; nothing is downloaded here.
  tfds.disable_progress_bar()
  logging.set_verbosity(logging.ERROR)
  config = config_lib.from_mapping(_CONFIG.value)
  if medical_dataset.prepared_folder(_DATA_DIR.value).is_dir():
    print(f'{_DATA_DIR.value}: prepared before, nothing to do (remove it to '
          'prepare again)')
  with open(os.devnull, 'w', encoding='utf-8') as nowhere, \
      contextlib.redirect_stdout(nowhere):
    counts = medical_dataset.prepare(
        _INPUT.value, _DATA_DIR.value, config.data,
        split_file=_SPLIT_FILE.value, on_case=Progress())
  print(f'{_DATA_DIR.value}: {counts["train"]} training and '
        f'{counts["validation"]} validation cases')


def run(argv) -> None:
  """Runs main and tells a user's mistake in one line."""
  try:
    main(argv)
  except (errors.InputError, OSError) as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(1)


if __name__ == '__main__':
  app.run(run)
