"""Times decoding and filtering of an all-intra video, stage by stage.

  python scripts/cnn_loopfilter/benchmark_video.py \
      --filters=filter_17k,filter_64

A clip of scikit-image's photographs (each frame shifted a little) is coded by
x265, all intra. Decoding without loop filters, the filter on luma, on chroma,
and writing Y4M are then timed one after the other in one process, and the
filter in one and more processes over frames. The first frame of each stage is
not counted. Seconds are true on a quiet machine only.
"""

import os

# Before TensorFlow is imported: oneDNN's kernels are several times as fast.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import io
import pathlib
import sys
import tempfile
import time

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import av
import command_line
import frame_sources
import numpy as np
from skimage import data

from cnn_loopfilter import frame_files
from cnn_loopfilter import frame_workers
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import pretrained
from cnn_loopfilter import video as video_lib

_SIZES = flags.DEFINE_list('sizes', ['416x240', '1920x1080'], 'WIDTHxHEIGHT.')
_FRAMES = flags.DEFINE_integer(
    'frames', 6, 'Frames of the clip.', lower_bound=2)
_FILTERS = flags.DEFINE_list(
    'filters', [pretrained.DEFAULT], 'Names of shipped filters.')
_WORKERS = flags.DEFINE_list('workers', ['1', '2'], 'Processes over frames.')
_QP = 32


def _clip(width: int, height: int, path: pathlib.Path) -> None:
  """Writes a clip of photographs, HEVC, all intra."""
  wall = np.concatenate([data.astronaut(), data.coffee()[:, :512].repeat(
      2, 0)[:512], data.rocket()[:, :512].repeat(2, 0)[:512]], axis=1)
  wall = np.tile(wall, (-(-(height + 64) // 512), -(-(width + 64) // 1536), 1))
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('libx265', rate=25)
    stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
    stream.options = {'preset': 'ultrafast', 'x265-params':
                      f'qp={_QP}:keyint=1:ipratio=1.0:log-level=none'}
    for shift in range(_FRAMES.value):
      frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(
          wall[shift:shift + height, shift:shift + width]), format='rgb24')
      container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _seconds_per_item(items) -> tuple[list, float]:
  """Returns what an iterable gives, and the mean time of all but the first."""
  found, ends = [], []
  for item in items:
    found.append(item)
    ends.append(time.perf_counter())
  return found, (ends[-1] - ends[0]) / (len(ends) - 1)


def _stages(name: str, frames: list[frames_lib.Frame]) -> dict[str, float]:
  """Times the filter by component and by processes."""
  runtime = pretrained.load(name)
  found = {}
  for stage, planes in (('filter Y', slice(0, 1)), ('filter U, V',
                                                    slice(1, 3))):
    _, found[stage] = _seconds_per_item(
        [runtime.filter_plane(plane, _QP) for plane in frame.planes[planes]]
        for frame in frames)
  for workers in frame_sources.whole_numbers('workers', _WORKERS.value):
    source = frame_workers.Source(str(pretrained.folder(name)), 8)
    # Enough frames that the start of the processes is left out.
    jobs = [frame_workers.Job(frame, _QP) for frame in frames * workers]
    _, found[f'filter, {workers} processes'] = _seconds_per_item(
        frame_workers.filtered(source, jobs, workers))
  return found


def _row(size: str, stage: str, seconds: float) -> str:
  return f'| {size} | {stage} | {seconds:.4f} | {1 / seconds:.1f} |'


def _measure(size: str) -> None:
  width, height = frame_sources.whole_numbers('sizes', size.split('x'))
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'clip.mkv'
    _clip(width, height, path)
    decoded, seconds = _seconds_per_item(video_lib.open_video(path).open())
  print(_row(size, 'decode', seconds), flush=True)
  frames = [picture.frame for picture in decoded]
  for name in _FILTERS.value:
    for stage, seconds in _stages(name, frames).items():
      print(_row(size, f'{name}: {stage}', seconds), flush=True)
  _, seconds = _seconds_per_item(
      frame_files.write_y4m(io.BytesIO(), [frame]) for frame in frames)
  print(_row(size, 'write Y4M', seconds), flush=True)


def main() -> None:
  """Prints a table, line by line."""
  print('| size | stage | s / frame | frames / s |\n|---|---|---|---|')
  for size in _SIZES.value:
    _measure(size)


if __name__ == '__main__':
  command_line.run(main)
