"""Measures the codec's filters and CNN filters: PSNR, BD-rate, pictures.

  python scripts/cnn_loopfilter/evaluate.py \
      --config=configs/cnn_loopfilter/prepare.py --input=FOLDER_OR_FILES \
      --filter=float=filter.npz,dfp=EXPORTED --output=RESULTS --cache=CODINGS

--filter takes float filters (.npz) and exported folders, each with NAME= before
it where its file's name will not do; NAME=22:PATH+27:PATH is a filter for each
QP, of which the nearest is taken. --input is that of prepare_frames.py.
Written are results.md, results.json, points.csv, bd_rates.csv, and in pictures/
the rate-distortion curves and crops.
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
import frame_sources
import item_progress
import plane_filters
import run_record

from cnn_loopfilter import codec as codec_lib
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import errors
from cnn_loopfilter import evaluation
from cnn_loopfilter import figures
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import results as results_lib
from cnn_loopfilter.codec import cached

_CONFIG = command_line.define_config(config_lib.Config)
_INPUT = flags.DEFINE_string(
    'input', None, 'Folders, files, or the name of a dataset.')
_FILTER = flags.DEFINE_list(
    'filter', [], 'Float filters (.npz) and exported folders, [NAME=]PATH.')
_OUTPUT = flags.DEFINE_string('output', None, 'Folder of results.')
_QPS = flags.DEFINE_list('qps', None, 'Instead of data.qps of the config.')
_CACHE = flags.DEFINE_string(
    'cache', '', 'Folder that keeps codings for the next evaluation.')
_EVERY = flags.DEFINE_integer(
    'every', 1, 'Takes every so many of the sequences.', lower_bound=1)
_DRY_RUN = flags.DEFINE_boolean(
    'dry_run', False, 'Check config and codec, read no data.')
_FRAMES = flags.DEFINE_integer(
    'frames', None, 'At most so many frames of a sequence.', lower_bound=1)
flags.mark_flags_as_required(['input', 'output'])
# Of so many sequences crops are drawn.
_CROPS = 4


def _draw_crops(sequences, codec, qp, filters, folder):
  for sequence in sequences[:_CROPS]:
    frame = next(sequence.open())
    coded = {state: next(codec.encode([frame], qp, state)).reconstruction
             for state in ('none', 'all') if state in codec.filters}
    for name, plane_filter in filters.items():
      planes = tuple(evaluation.apply(plane_filter, plane, qp, name)
                     for plane in coded['none'].planes)
      coded[name] = frames_lib.Frame(planes, frame.format)
    figures.crops(folder / f'crop-{sequence.name}-qp{qp}.png',
                  {'original': frame} | coded)


def _run(config):
  # Nothing is random here: the seed is that of the config, for what it names.
  return run_record.describe(
      dataclasses.asdict(config) | {
          'input': _INPUT.value, 'filter': _FILTER.value,
          'every': _EVERY.value, 'frames': _FRAMES.value},
      config.training.seed)


def main() -> None:
  """Evaluates once."""
  mapping = _CONFIG.value
  if _QPS.value is not None:
    mapping.data['qps'] = frame_sources.whole_numbers('qps', _QPS.value)
  config = config_lib.from_mapping(mapping)
  if len(config.data.qps) < 4:
    raise errors.InputError(f'--qps: got {config.data.qps}, expected four or '
                            'more for a BD-rate')
  codec = codec_lib.from_config(config.codec)
  if _DRY_RUN.value:
    print(f'{codec.label} at QP {", ".join(map(str, config.data.qps))}; no '
          'data was read')
    return
  if _CACHE.value:
    codec = cached.Cached(codec, _CACHE.value)
  sequences = frame_sources.open_input(_INPUT.value)[::_EVERY.value]
  filters = plane_filters.load(_FILTER.value, sequences)
  found = evaluation.evaluate(
      sequences, codec, config.data.qps, filters, limit=_FRAMES.value,
      on_point=item_progress.ItemProgress('point'))
  rows = [row for against in (evaluation.ANCHOR, evaluation.UNFILTERED)
          if against in codec.filters
          for row in evaluation.bd_rates(found, against)]
  folder = pathlib.Path(_OUTPUT.value)
  results_lib.write(folder, found, rows, codec.label, _run(config))
  figures.write(folder / 'pictures', found)
  _draw_crops(sequences, codec, max(config.data.qps), filters,
              folder / 'pictures')
  averages = [row for row in rows if row.name == evaluation.AVERAGE]
  print(results_lib.markdown(found, averages, codec.label))
  print(f'Written to {folder}')


if __name__ == '__main__':
  command_line.run(main)
