"""Counts what the cores of a TPU send each other in a training step.

  python scripts/mtf_unet/inspect_tpu_program.py \
      --config=configs/mtf_unet/lits_128.py [--cores=32] [--json=FILE]

Builds the job of the config for a made-up TPU and reads its graph; no TPU is
asked, and nothing is run.
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
import mesh_optimizers
import tensorflow as tf

from mtf_unet import atomic_file
from mtf_unet import collectives
from mtf_unet import config as config_lib
from mtf_unet import split_search
from mtf_unet import tpu_job
from mtf_unet import tpu_program
from mtf_unet import tpu_system

_CONFIG = command_line.define_config(config_lib.Config)
_CORES = flags.DEFINE_integer(
    'cores', None, "Cores of the TPU; by default one for each of the config's "
    'blocks.', lower_bound=1)
_JSON = flags.DEFINE_string(
    'json', None, 'File to write every collective to, as JSON.')


def main() -> None:
  """Builds, counts and prints."""
  tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
  config = config_lib.from_mapping(_CONFIG.value)
  cores = _CORES.value or split_search.partition_of(config).mesh_size
  program = tpu_program.build(tpu_job.TpuJob(
      config, '', mesh_optimizers.FACTORIES, system=tpu_system.made(cores)))
  print(tpu_program.summary(program) + '\n')
  print(collectives.table(program.collectives))
  if _JSON.value:
    atomic_file.write_json(_JSON.value,
                           collectives.as_json(program.collectives))
    print(f'\nWritten to {_JSON.value}')


if __name__ == '__main__':
  command_line.run(main)
