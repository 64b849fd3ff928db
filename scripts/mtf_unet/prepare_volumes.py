"""Prepares a folder of raw scans for training: checks, turns, resamples.

  python scripts/mtf_unet/prepare_volumes.py \
      --config=configs/mtf_unet/hippocampus.py \
      --input=FOLDER --data_dir=PREPARED

FOLDER holds dataset.json, imagesTr/ and labelsTr/ (Medical Segmentation
Decathlon), volume-N.nii[.gz] and segmentation-N.nii[.gz] (LiTS), or the
reference's GZIP TFRecords; scans may also be MHA or NRRD files, folders of
DICOM slices, or one file for each modality. Cases are held out as split.json
in that folder says, or --split_file, or else at random by
data.validation_fraction.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import contextlib
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import item_progress
import tensorflow_datasets as tfds

from mtf_unet import config as config_lib
from mtf_unet import medical_dataset

_CONFIG = command_line.define_config(config_lib.Config)
_INPUT = flags.DEFINE_string('input', None, 'Folder of raw scans.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Folder to fill.')
_SPLIT_FILE = flags.DEFINE_string(
    'split_file', '', 'JSON with the cases of "train" and "validation".')
flags.mark_flags_as_required(['input', 'data_dir'])


def main() -> None:
  """Prepares one folder."""
  # tensorflow-datasets speaks of downloads; nothing is downloaded here.
  tfds.disable_progress_bar()
  config = config_lib.from_mapping(_CONFIG.value)
  if medical_dataset.prepared_folder(_DATA_DIR.value).is_dir():
    print(f'{_DATA_DIR.value}: prepared before, nothing to do (remove it to '
          'prepare again)')
  with open(os.devnull, 'w', encoding='utf-8') as nowhere, \
      contextlib.redirect_stdout(nowhere):
    counts = medical_dataset.prepare(
        _INPUT.value, _DATA_DIR.value, config.data,
        split_file=_SPLIT_FILE.value,
        on_case=item_progress.ItemProgress('case'))
  print(f'{_DATA_DIR.value}: {counts["train"]} training and '
        f'{counts["validation"]} validation cases')


if __name__ == '__main__':
  command_line.run(main)
