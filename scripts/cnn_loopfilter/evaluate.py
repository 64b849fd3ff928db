"""Measures codecs' filters and CNN filters: quality, BD-rate, pictures.

  python scripts/cnn_loopfilter/evaluate.py \
      --config=configs/cnn_loopfilter/prepare.py --input=FOLDER_OR_FILES \
      --filter=float=filter.npz,dfp=EXPORTED --output=RESULTS --cache=CODINGS

--filter takes float filters (.npz) and exported folders, each with NAME= before
it where its file's name will not do; NAME=22:PATH+27:PATH is a filter for each
QP, of which the nearest is taken. --input is that of prepare_frames.py.
--switches=plain,arithmetic measures each filter with switches too, whose bits
count.
--anchors=x264,svtav1:6 (NAME or NAME:PRESET) measures other codecs as well: the
same filters against each one's own, and all of them against the config's codec.
VMAF is measured where --ffmpeg has libvmaf.
Written are report.html, results.md, results.json, points.csv, bd_rates.csv, and
in pictures/ the rate-distortion curves and crops.
"""

import os

# Before TensorFlow is imported: oneDNN's convolutions are four times faster.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
# SVT-AV1 writes to standard error of its own accord: errors only.
os.environ.setdefault('SVT_LOG', '1')

import dataclasses
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import filter_sizes
import frame_sources
import item_progress
import plane_filters
import run_record

from cnn_loopfilter import codec as codec_lib
from cnn_loopfilter import comparison
from cnn_loopfilter import config as config_lib
from cnn_loopfilter import data_config
from cnn_loopfilter import errors
from cnn_loopfilter import evaluation
from cnn_loopfilter import figures
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import html_report
from cnn_loopfilter import results as results_lib
from cnn_loopfilter import switched
from cnn_loopfilter import tables
from cnn_loopfilter import vmaf
from cnn_loopfilter.codec import base
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
_SWITCHES = flags.DEFINE_list(
    'switches', [], 'Measure filters with switches too, coded as plain, '
    'arithmetic or both.')
_SWITCH_BLOCKS = flags.DEFINE_list(
    'switch_blocks', ['64'], 'Edges of switched blocks in luma samples.')
_ANCHORS = flags.DEFINE_list(
    'anchors', [], 'Other codecs beside the one of the config, NAME[:PRESET].')
_FFMPEG = flags.DEFINE_string(
    'ffmpeg', 'ffmpeg', 'Program that measures VMAF where it has libvmaf; '
    'empty: no VMAF.')
flags.mark_flags_as_required(['input', 'output'])
# Of so many sequences crops are drawn; edges of the drawn and the page's.
_CROPS, _DRAWN_EDGE, _PAGE_EDGE = 4, 96, 256


def _open_codecs(config):
  """Opens the config's codec and those of --anchors."""
  configs = [config.codec]
  for word in _ANCHORS.value:
    name, _, preset = word.partition(':')
    if name not in codec_lib.IN_PROCESS:
      raise errors.InputError(
          f'--anchors: got {word!r}, expected NAME or NAME:PRESET with one of '
          f'{", ".join(codec_lib.IN_PROCESS)}')
    configs.append(data_config.CodecConfig(name, preset))
    # Checks that the QPs are the codec's.
    dataclasses.replace(config, codec=configs[-1])
  codecs = [codec_lib.from_config(one) for one in configs]
  comparison.check(codecs)
  return [cached.Cached(one, _CACHE.value) if _CACHE.value else one
          for one in codecs]


def _find_ffmpeg():
  program = vmaf.find(_FFMPEG.value) if _FFMPEG.value else None
  if program is None:
    print('VMAF: not measured, as there is no '
          f'{_FFMPEG.value or "--ffmpeg"} with libvmaf', file=sys.stderr)
  return program


def _states_of(sequence, codec: base.Codec, qp, filters):
  """Codes the first frame of a sequence; returns the original and states."""
  frame = next(sequence.open())
  coded = {tables.label(state):
               next(codec.encode([frame], qp, state)).reconstruction
           for state in ('none', 'all') if state in codec.filters}
  unfiltered = coded[tables.label('none')]
  for name, plane_filter in filters.items():
    planes = tuple(evaluation.apply(plane_filter, plane, qp, name)
                   for plane in unfiltered.planes)
    coded[name] = frames_lib.Frame(planes, frame.format)
  return {'original': frame} | coded


def _draw_crops(sequences, codec, qp, filters, folder):
  """Draws crops to files; returns larger ones for the page."""
  crops = []
  for sequence in sequences:
    states = _states_of(sequence, codec, qp, filters)
    figures.crops(folder / f'crop-{sequence.name}-qp{qp}.png',
                  figures.cut(states, _DRAWN_EDGE))
    crops.append(html_report.Crop(
        f'{sequence.name}, {codec.label}, QP {qp}',
        figures.cut(states, _PAGE_EDGE), tables.label('none'),
        list(states)[-1]))
  return crops


def _draw(report, codecs, sequences, qp, filters, folder):
  """Draws curves and crops; returns those that go on the page."""
  curves, crops = [], []
  if len(report.kmac_per_pixel) > 1:
    path = folder / 'gain-by-work.png'
    figures.gain_by_work(path, report)
    curves.append(html_report.Curves('Gain by work', path.read_bytes()))
  if len(report.runs) > 1:
    path = folder / 'rd-codecs.png'
    figures.rate_curves(path, figures.average(comparison.joined(
        report.runs, leave_out=('none', 'deblocking'))))
    curves.append(html_report.Curves('All codecs: average', path.read_bytes()))
  for index, (run, codec) in enumerate(zip(report.runs, codecs)):
    # The config's codec at the top, the others in folders of their own.
    own = folder if index == 0 else folder / html_report.slug(codec.label)
    curves += [html_report.Curves(
        f'{codec.label}: {name}', path.read_bytes(),
        folded=name != evaluation.AVERAGE)
        for name, path in figures.write(own, run.results).items()]
    crops += _draw_crops(sequences[:_CROPS if index == 0 else 1], codec, qp,
                         filters, own)
  return curves, crops


def _run(config):
  # Nothing is random here: the seed is that of the config, for what it names.
  return run_record.describe(
      dataclasses.asdict(config) | {
          'input': _INPUT.value, 'filter': _FILTER.value,
          'every': _EVERY.value, 'frames': _FRAMES.value,
          'switches': _SWITCHES.value, 'switch_blocks': _SWITCH_BLOCKS.value,
          'anchors': _ANCHORS.value},
      config.training.seed)


def main() -> None:
  """Evaluates once."""
  mapping = _CONFIG.value
  if _QPS.value is not None:
    mapping.data['qps'] = frame_sources.whole_numbers('qps', _QPS.value)
  config = config_lib.from_mapping(mapping)
  qps = config.data.qps
  if len(qps) < 4:
    raise errors.InputError(f'--qps: got {qps}, expected four or more for a '
                            'BD-rate')
  codecs = _open_codecs(config)
  if _DRY_RUN.value:
    print(f'{", ".join(codec.label for codec in codecs)} at QP '
          f'{", ".join(map(str, qps))}; no data was read')
    return
  sequences = frame_sources.open_input(_INPUT.value)[::_EVERY.value]
  filters = plane_filters.load(_FILTER.value, sequences)
  switches = switched.Setting(
      tuple(_SWITCHES.value),
      frame_sources.whole_numbers('switch_blocks', _SWITCH_BLOCKS.value))
  program, runs = _find_ffmpeg(), []
  kmac = filter_sizes.kmac_per_pixel(_FILTER.value, sequences[0].format)
  folder = pathlib.Path(_OUTPUT.value)
  for codec in codecs:
    print(f'{codec.label}:', file=sys.stderr)
    runs.append(comparison.run(codec.label, evaluation.evaluate(
        sequences, codec, qps, filters, limit=_FRAMES.value,
        switches=switches, vmaf=program,
        on_point=item_progress.ItemProgress('point'))))
    # What was measured stays if a later codec does not take the frames.
    report = comparison.Report(tuple(runs), kmac)
    results_lib.write(folder, report, _run(config))
  curves, crops = _draw(report, codecs, sequences, max(qps), filters,
                        folder / 'pictures')
  html_report.write(folder / 'report.html', report, curves=curves, crops=crops)
  print(results_lib.markdown(report, sequences=False))
  print(f'Written to {folder}')


if __name__ == '__main__':
  command_line.run(main)
