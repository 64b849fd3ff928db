"""Filters a video with an exported filter.

  python scripts/cnn_loopfilter/filter_video.py IN OUT --qp=32
  python scripts/cnn_loopfilter/filter_video.py IN OUT --qp=32 \
      --original=ORIGINAL --side_file=SWITCHES.clf
  python scripts/cnn_loopfilter/filter_video.py IN OUT \
      --side_file=SWITCHES.clf

The first line filters everything. The second is the encoder's side: with the
original at hand it switches the filter on where that pays, and writes the side
file (OUT.clf by default). The third is the decoder's side: it applies a side
file and reaches the same frames, which is checked frame by frame.

IN is Y4M, raw YUV (its size in the name, or --size, --bits, --chroma) or
anything that PyAV decodes; OUT is .y4m or .yuv and appears when it is whole.
The QP of H.264 and of all-intra HEVC is the stream's own; all else needs --qp.
"""

import os

# Before TensorFlow is imported: oneDNN's convolutions are four times faster.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import contextlib
import functools
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import frame_sources
import item_progress

from cnn_loopfilter import artefact
from cnn_loopfilter import atomic_file
from cnn_loopfilter import blocks
from cnn_loopfilter import errors
from cnn_loopfilter import frame_workers
from cnn_loopfilter import pretrained
from cnn_loopfilter import runtime
from cnn_loopfilter import side_file
from cnn_loopfilter import switch_coding
from cnn_loopfilter import video as video_lib
from cnn_loopfilter import video_filter

_FILTER = flags.DEFINE_string(
    'filter', '', 'Exported filter (folder); by default the shipped one.')
_QP = flags.DEFINE_integer(
    'qp', None, 'Of all frames, instead of what the stream tells.',
    lower_bound=0, upper_bound=63)
_BLOCK_QP = flags.DEFINE_bool(
    'block_qp', False, 'Filter each block with its own QP, where it is told.')
_ORIGINAL = flags.DEFINE_string(
    'original', '', 'What was coded: decides the switches.')
_SIDE_FILE = flags.DEFINE_string(
    'side_file', '', 'Written with --original, else read and applied.')
_BLOCK = flags.DEFINE_integer(
    'block', 64, 'Edge of a block in luma samples.')
_CODING = flags.DEFINE_enum(
    'coding', 'arithmetic', list(switch_coding.CODINGS), 'Of the switches.')
_WORKERS = flags.DEFINE_integer(
    'workers', 1, 'Processes; the bits are the same.', lower_bound=1)
_BACKEND = flags.DEFINE_enum(
    'backend', 'auto', list(runtime.BACKENDS), 'Runtime of the filter.')


def _open(text, expected=None):
  """Opens a video; `expected` is the format that it must have."""
  video = video_lib.open_video(pathlib.Path(text), frame_sources.yuv_format())
  if expected not in (None, video.format):
    raise errors.InputError(f'{text}: got {video.format}, expected {expected} '
                            'as the input has')
  return video


def _check_flags(input_path, output_path):
  video_lib.check_output(output_path)
  read, written = [input_path], [output_path]
  if _ORIGINAL.value:
    read.append(pathlib.Path(_ORIGINAL.value))
    written.append(_side_path(output_path))
  elif _SIDE_FILE.value:
    read.append(pathlib.Path(_SIDE_FILE.value))
    for flag in (_QP, _BLOCK_QP, _BLOCK, _CODING):
      if flag.present:
        raise errors.InputError(
            f'--{flag.name}: the side file tells it, expected no such flag')
  seen = {path.resolve() for path in read}
  for path in written:
    if path.resolve() in seen:
      raise errors.InputError(f'{path}: is to be written beside being read or '
                              'written already, expected another name')
    seen.add(path.resolve())


def _side_path(output_path):
  return pathlib.Path(_SIDE_FILE.value or f'{output_path}.clf')


def _jobs(video):
  """Jobs with QPs by flag or stream; says which."""
  if _QP.value is not None:
    print(f'QP: {_QP.value}, by --qp')
  elif video.qp_source:
    print(f'QP: {video.qp_source}, the mean of each ' + (
        f'block of {_BLOCK.value} samples' if _BLOCK_QP.value else 'frame'))
  else:
    raise errors.InputError('--qp: got none, expected 0 to 63, as '
                            f'{video.name} tells no QP')
  return video_filter.jobs(video, _QP.value,
                           _BLOCK.value if _BLOCK_QP.value else None)


def _frames(stack, video, filter_jobs, digest, output_path):
  """Returns the frames to write, by one of the three ways."""
  grid = blocks.Grid(video.format, _BLOCK.value)
  if _ORIGINAL.value:
    originals = _open(_ORIGINAL.value, video.format)
    jobs = _jobs(video)
    stream = stack.enter_context(
        atomic_file.replacing(_side_path(output_path)))
    return video_filter.encode(jobs, filter_jobs, originals, stream,
                               side_file.Header(grid, _CODING.value, digest))
  if _SIDE_FILE.value:
    return _decoded(video, filter_jobs, digest)
  return video_filter.filter_all(_jobs(video), filter_jobs)


def _decoded(video, filter_jobs, digest):
  """The frames as the side file tells."""
  with open(_SIDE_FILE.value, 'rb') as stream:
    reader = side_file.Reader(stream, _SIDE_FILE.value)
    video_filter.check_side_file(reader.header, digest, video.format,
                                 _SIDE_FILE.value)
    print(f'QP and switches: told by {_SIDE_FILE.value}')
    yield from video_filter.decode(video, filter_jobs, reader,
                                   _SIDE_FILE.value)


def _shown(frames, total):
  """Hands frames on and shows how far they are."""
  show = item_progress.ItemProgress('frame')
  for number, frame in enumerate(frames):
    yield frame
    # The packets of a stream need not be as many as its frames.
    show(min(number + 1, total), total)


def main(input_name: str, output_name: str) -> None:
  """Filters one video."""
  input_path, output_path = map(pathlib.Path, (input_name, output_name))
  _check_flags(input_path, output_path)
  folder = _FILTER.value or str(pretrained.folder())
  own_depth, digest = artefact.load(folder).depth, side_file.digest_of(folder)
  video = _open(input_name)
  print(f'{input_name}: {video.format.width}x{video.format.height}, '
        f'{video.format.depth} bits, 4:{video.format.chroma[1]}:'
        f'{video.format.chroma[2]}, {video.count} frames; {video.kind}')
  if video.format.depth != own_depth:
    print(f'The filter was made for {own_depth} bits; the same integers are '
          f'used for {video.format.depth}')
  filter_jobs = functools.partial(
      frame_workers.filtered,
      frame_workers.Source(folder, video.format.depth, _BACKEND.value),
      workers=_WORKERS.value)
  with contextlib.ExitStack() as stack:
    frames = _frames(stack, video, filter_jobs, digest, output_path)
    stream = stack.enter_context(atomic_file.replacing(output_path))
    count = video_lib.write(output_path, stream, _shown(frames, video.count),
                            video.words)
  written = output_name
  if _ORIGINAL.value:
    side = _side_path(output_path)
    written += f' and {side} ({side.stat().st_size} bytes)'
  print(f'{count} frames. Written to {written}')


if __name__ == '__main__':
  command_line.run(main, ('IN', 'OUT'))
