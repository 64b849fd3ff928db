"""Writes an exported filter for samples of more bits: the same integers.

  python scripts/cnn_loopfilter/change_depth.py \
      --input=EXPORTED --output=FOLDER --depth=10

Needs no training data; filter_video.py does the same in memory.
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

from cnn_loopfilter import artefact
from cnn_loopfilter import bit_depth
from cnn_loopfilter import errors
from cnn_loopfilter import export

_INPUT = flags.DEFINE_string('input', None, 'Exported filter (folder).')
_OUTPUT = flags.DEFINE_string('output', None, 'Folder to write.')
_DEPTH = flags.DEFINE_integer('depth', 10, 'Bits of a sample.')
flags.mark_flags_as_required(['input', 'output'])


def main() -> None:
  """Changes one filter."""
  source = artefact.load(_INPUT.value)
  filter_ = bit_depth.at_depth(source, _DEPTH.value)
  if filter_ is source:
    raise errors.InputError(f'--depth: got {source.depth}, the depth of '
                            f'{_INPUT.value} itself; expected more')
  export.save(filter_, _OUTPUT.value)
  print(f'{source.depth} to {filter_.depth} bits, {filter_.residual_bits} '
        f'bits left below the samples. Written to {_OUTPUT.value}')


if __name__ == '__main__':
  command_line.run(main)
