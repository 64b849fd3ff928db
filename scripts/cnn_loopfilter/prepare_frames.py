"""Codes pictures and videos all intra and writes patches to train on.

  python scripts/cnn_loopfilter/prepare_frames.py \
      --config=configs/cnn_loopfilter/prepare.py \
      --input=FOLDER_OR_FILES --output=RECORDS --qps=22,27,32,37

--input takes folders and files divided by commas (PNG, JPEG, .y4m, .yuv), or
a tensorflow-datasets name (div2k, or tfds:NAME with tfds:NAME/CONFIG:SPLIT).
A .yuv file tells its size by its name (src01_576x324_10bit.yuv) or by
--size=576x324 --bits=10 --chroma=420. With --cache an interrupted run goes on
where it stopped; without, nothing is left of it.
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
import frame_sources
import item_progress

from cnn_loopfilter import codec as codec_lib
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import prepare
from cnn_loopfilter.codec import cached

_CONFIG = command_line.define_config(config_lib.Config)
_INPUT = flags.DEFINE_string(
    'input', None, 'Folders, files, or the name of a dataset.')
_OUTPUT = flags.DEFINE_string('output', None, 'Folder of records to make.')
_QPS = flags.DEFINE_list('qps', None, 'Instead of data.qps of the config.')
_CACHE = flags.DEFINE_string(
    'cache', '', 'Folder that keeps codings, to go on after a stop.')
_EVERY = flags.DEFINE_integer(
    'every', 1, 'Takes every so many of the pictures.', lower_bound=1)
_FRAMES = flags.DEFINE_integer(
    'frames', None, 'At most so many frames of a video.', lower_bound=1)
flags.mark_flags_as_required(['input', 'output'])


def main() -> None:
  """Prepares one folder."""
  mapping = _CONFIG.value
  if _QPS.value is not None:
    mapping.data['qps'] = frame_sources.whole_numbers('qps', _QPS.value)
  config = config_lib.from_mapping(mapping)
  codec = codec_lib.from_config(config.codec)
  if _CACHE.value:
    codec = cached.Cached(codec, _CACHE.value)
  sequences = frame_sources.open_input(_INPUT.value)[::_EVERY.value]
  index = prepare.prepare(
      sequences, codec, _OUTPUT.value, config.data, limit=_FRAMES.value,
      on_picture=item_progress.ItemProgress('picture'))
  patches = ', '.join(
      f'{count} {name}' for name, count in index['patches'].items())
  megabits = sum(qp['bits'] for picture in index['pictures']
                 for qp in picture['qps'].values()) / 1e6
  print(f'{_OUTPUT.value}: {len(index["pictures"])} pictures by '
        f'{codec.label}, {megabits:.1f} Mbit in all, patches: {patches}')


if __name__ == '__main__':
  command_line.run(main)
