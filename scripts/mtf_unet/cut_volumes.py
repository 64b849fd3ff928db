"""Cuts prepared volumes into a file for each block, for a TPU of many hosts.

  python scripts/mtf_unet/cut_volumes.py \
      --config=configs/mtf_unet/lits_512.py --data_dir=PREPARED --output=FOLDER

FOLDER, or a copy of it in a bucket, is what train.py takes as --block_dir. The
training cases are cut as the config's mesh says; its hosts then read the blocks
of their own cores alone.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import item_progress

from mtf_unet import block_files
from mtf_unet import case_source
from mtf_unet import config as config_lib
from mtf_unet import split_search

_CONFIG = command_line.define_config(config_lib.Config)
_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Folder that prepare_volumes.py has filled.')
_OUTPUT = flags.DEFINE_string('output', None, 'Folder to fill.')
flags.mark_flags_as_required(['data_dir', 'output'])


def main() -> None:
  """Cuts the training cases."""
  config = config_lib.from_mapping(_CONFIG.value)
  source = case_source.open_split(_DATA_DIR.value, config.data, 'train')
  partition = split_search.partition_of(config)
  block_files.write(source, config, partition, _OUTPUT.value,
                    item_progress.ItemProgress('case'))
  split = 'x'.join(map(str, partition.spatial_split))
  print(f'{_OUTPUT.value}: {len(source)} cases in {split} blocks')


if __name__ == '__main__':
  command_line.run(main)
