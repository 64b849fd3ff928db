"""Videos to filter: frames one by one with what their source tells of them."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import pathlib
import typing

import numpy as np

from cnn_loopfilter import errors
from cnn_loopfilter import frame_files
from cnn_loopfilter import frames as frames_lib


@dataclasses.dataclass(frozen=True)
class Picture:
  """One frame and its QPs.

  Attributes:
    frame: the samples.
    qps: of each 16x16 macroblock, int [rows, columns], on HEVC's scale of 0
      to 51; None where the source tells none.
  """
  frame: frames_lib.Frame
  qps: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Video:
  """A video that can be gone through from its start.

  Attributes:
    name: of the file.
    format: of all frames.
    count: of frames; of a stream what its packets promise.
    open: starts at the first picture on each call.
    words: of the Y4M header that keeps rate, aspect and range.
    qp_source: what the pictures' QPs are, for the user; '' where they tell
      none.
    kind: one sentence on what is decoded, for the user.
  """
  name: str
  format: frames_lib.Format
  count: int
  open: Callable[[], Iterator[Picture]]
  words: tuple[str, ...]
  qp_source: str
  kind: str


def open_video(path: pathlib.Path,
               layout: frames_lib.Format | None = None) -> Video:
  """Opens Y4M, raw YUV or what PyAV decodes, by the ending of the name.

  Args:
    path: .y4m, .yuv, or any other file.
    layout: of a .yuv file, where its name does not tell.

  Raises:
    InputError: if there is no such file, or it is not what it says.
  """
  if not path.is_file():
    raise errors.InputError(f'{path}: no such file')
  ending = path.suffix.lower()
  if ending not in ('.y4m', '.yuv'):
    # PyAV is needed for streams alone.
    from cnn_loopfilter import video_streams
    return video_streams.open_stream(path)
  sequence = frame_files.open_file(path, layout)
  words = (frame_files.y4m_words(path) if ending == '.y4m'
           else frame_files.default_y4m_words(sequence.format))

  def read():
    for frame in sequence.open():
      yield Picture(frame)

  return Video(str(path), sequence.format, sequence.count, read, words, '',
               'samples as they are: the filter is in the loop where they '
               "come from an intra picture before the codec's own filters")


def block_mean(qps: np.ndarray, edge: int) -> np.ndarray:
  """Returns the mean QP of each block, to the nearest integer, halves up.

  Args:
    qps: of 16x16 macroblocks, [rows, columns].
    edge: of a block in luma samples, a multiple of 16.

  Returns:
    int64 [rows, columns] of blocks.
  """
  step = edge // 16
  rows, columns = (np.arange(0, size, step) for size in qps.shape)
  total = np.add.reduceat(np.add.reduceat(
      qps.astype(np.int64), rows, 0), columns, 1)
  count = np.add.reduceat(np.add.reduceat(
      np.ones(qps.shape, np.int64), rows, 0), columns, 1)
  return (2 * total + count) // (2 * count)


def frame_mean(qps: np.ndarray) -> int:
  """Returns the mean QP of a frame, to the nearest integer, halves up."""
  return int((2 * int(qps.sum()) + qps.size) // (2 * qps.size))


def write(path: pathlib.Path, stream: typing.BinaryIO,
          frames: Iterable[frames_lib.Frame], words: tuple[str, ...]) -> int:
  """Writes Y4M or raw YUV by the ending of a name; returns the frame count.

  Args:
    path: tells the ending.
    stream: open for binary writing.
    frames: of one format.
    words: of a Y4M header.
  """
  if path.suffix.lower() == '.y4m':
    return frame_files.write_y4m(stream, frames, words)
  return frame_files.write_yuv(stream, frames)


def check_output(path: pathlib.Path) -> None:
  """Raises InputError for a name that `write` knows no format for."""
  if path.suffix.lower() not in ('.y4m', '.yuv'):
    raise errors.InputError(
        f'{path}: got the ending {path.suffix!r}, expected .y4m or .yuv')
