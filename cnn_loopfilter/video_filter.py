"""Filters a video: everywhere, by chosen switches, or by a side file.

  pictures -> jobs -> filtered frames -> switched frames

`encode` is the encoder's side: it has the original, chooses the switches and
writes the side file. `decode` is the other side: it reads the side file and
reaches the same frames, which each record's checksum proves.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import typing

from cnn_loopfilter import errors
from cnn_loopfilter import frame_workers
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import side_file
from cnn_loopfilter import switch_coding
from cnn_loopfilter import switches as switches_lib
from cnn_loopfilter import video as video_lib

# What `frame_workers.filtered` is once it has its source and workers.
FilterAll = Callable[[Iterable[frame_workers.Job]],
                     Iterator[tuple[frame_workers.Job, frames_lib.Frame]]]


def jobs(video: video_lib.Video, qp: int | None = None,
         block: int | None = None) -> Iterator[frame_workers.Job]:
  """Turns pictures into jobs.

  Args:
    video: the pictures.
    qp: of all frames; None: the mean of what each picture tells.
    block: edge of blocks that are filtered with the mean QP of their own;
      None: with the frame's.

  Raises:
    InputError: if `qp` is None and a picture tells no QP.
  """
  for number, picture in enumerate(video.open()):
    if qp is not None:
      yield frame_workers.Job(picture.frame, qp)
      continue
    if picture.qps is None:
      raise errors.InputError(f'{video.name}, frame {number}: tells no QP, '
                              'expected one by --qp')
    frame_qp = video_lib.frame_mean(picture.qps)
    if block is None:
      yield frame_workers.Job(picture.frame, frame_qp)
    else:
      yield frame_workers.Job(picture.frame, frame_qp, video_lib.block_mean(
          picture.qps, block), block)


def filter_all(video_jobs: Iterable[frame_workers.Job],
               filter_jobs: FilterAll) -> Iterator[frames_lib.Frame]:
  """Yields every frame with the filter on everywhere."""
  for _, filtered in filter_jobs(video_jobs):
    yield filtered


def encode(video_jobs: Iterable[frame_workers.Job], filter_jobs: FilterAll,
           originals: video_lib.Video, stream: typing.BinaryIO,
           header: side_file.Header) -> Iterator[frames_lib.Frame]:
  """Chooses switches, writes the side file, and yields the switched frames.

  Args:
    video_jobs: of the reconstruction.
    filter_jobs: filters them.
    originals: what was coded, as many frames.
    stream: of the side file, open for binary writing.
    header: of the side file.

  Raises:
    InputError: if the videos have different lengths.
  """
  writer = side_file.Writer(stream, header)
  coder = switch_coding.make(header.coding)
  pairs = _paired(video_jobs, (picture.frame for picture in originals.open()),
                  originals.name)
  for job, filtered in filter_jobs(pairs):
    chosen = switches_lib.choose(header.grid, job.tag, job.frame, filtered,
                                 job.qp, coder.model)
    switched = switches_lib.apply(header.grid, chosen, job.frame, filtered)
    writer.add(side_file.Record(
        job.qp, coder.pack(chosen), side_file.frame_crc(switched),
        job.block_qps))
    yield switched
  writer.finish()


def _paired(video_jobs, others, name):
  """Gives each job the next of `others` as its tag; both must end together."""
  others, number = iter(others), -1
  for number, job in enumerate(video_jobs):
    other = next(others, None)
    if other is None:
      raise errors.InputError(
          f'{name}: ends after {number} frames, expected as many as the input, '
          'which goes on')
    yield dataclasses.replace(job, tag=other)
  if next(others, None) is not None:
    raise errors.InputError(
        f'{name}: goes on after {number + 1} frames, expected as many as the '
        'input, which ends there')


def decode(video: video_lib.Video, filter_jobs: FilterAll,
           reader: side_file.Reader, name: str) -> Iterator[frames_lib.Frame]:
  """Applies a side file and yields the switched frames.

  Args:
    video: the reconstruction, of the header's format.
    filter_jobs: filters with the filter that the header names.
    reader: of the side file.
    name: of the side file, for messages.

  Raises:
    InputError: if the side file is damaged or of another length, or a frame
      does not come out as on the encoder's side.
  """
  grid, coder = reader.header.grid, switch_coding.make(reader.header.coding)
  frames = (frame_workers.Job(picture.frame, 0, block=grid.size)
            for picture in video.open())
  pairs = (dataclasses.replace(job, qp=job.tag.qp, block_qps=job.tag.block_qps)
           for job in _paired(frames, reader.records(), name))
  components = len(grid.format.plane_shapes)
  for number, (job, filtered) in enumerate(filter_jobs(pairs)):
    chosen = coder.unpack(job.tag.switches, grid.shape, components)
    switched = switches_lib.apply(grid, chosen, job.frame, filtered)
    if side_file.frame_crc(switched) != job.tag.output_crc:
      raise errors.InputError(
          f'{video.name}, frame {number}: the filtered frame has another '
          f'checksum than {name} tells, expected the video that it was made '
          'for')
    yield switched


def check_side_file(header: side_file.Header, digest: bytes,
                    layout: frames_lib.Format, name: str) -> None:
  """Raises InputError if a side file is for other frames or another filter.

  Args:
    header: of the side file.
    digest: of the filter at hand.
    layout: of the video at hand.
    name: of the side file.
  """
  if header.grid.format != layout:
    raise errors.InputError(f'{name}: is for frames of {header.grid.format}, '
                            f'expected {layout} as the input has')
  if header.filter_digest != digest:
    raise errors.InputError(
        f'{name}: was made with the filter {header.filter_digest.hex()[:16]}, '
        f'expected {digest.hex()[:16]}, the one of --filter')
