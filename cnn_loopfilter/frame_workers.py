"""Filters frames one after the other, in this process or in several."""

import collections
from collections.abc import Iterable
from collections.abc import Iterator
import concurrent.futures
import dataclasses
import functools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import typing

import numpy as np

from cnn_loopfilter import artefact
from cnn_loopfilter import bit_depth
from cnn_loopfilter import blocks
from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import runtime as runtime_lib

# Frames that wait or are worked on, for each process: so many keep all busy,
# and bound the memory.
_IN_FLIGHT = 2


@dataclasses.dataclass(frozen=True)
class Source:
  """What a process needs to make its runtime.

  Attributes:
    folder: of the exported filter.
    depth: bits of the video's samples, the filter's or more.
    backend: see runtime.load.
  """
  folder: str
  depth: int
  backend: str = 'auto'

  def make(self) -> runtime_lib.Runtime:
    """Loads the filter, for samples of more bits where they have more."""
    filter_ = bit_depth.at_depth(artefact.load(self.folder), self.depth)
    return runtime_lib.of(filter_, self.backend)


@dataclasses.dataclass(frozen=True)
class Job:
  """A frame to filter.

  Attributes:
    frame: the samples.
    qp: of the frame.
    block_qps: [rows, columns] of blocks; None: `qp` everywhere.
    block: edge of these blocks in luma samples.
    tag: comes back beside the result.
  """
  frame: frames_lib.Frame
  qp: int
  block_qps: np.ndarray | None = None
  block: int = 64
  tag: typing.Any = None


def filter_frame(runtime: runtime_lib.Runtime, job: Job) -> frames_lib.Frame:
  """Filters all planes of one frame.

  With `block_qps` every block is what the whole plane, filtered at the
  block's QP, holds there: it is filtered with the margin that it depends on.

  Args:
    runtime: of the frame's depth.
    job: the frame.
  """
  frame = job.frame
  if job.block_qps is None:
    planes = [runtime.filter_plane(plane, job.qp) for plane in frame.planes]
  else:
    grid = blocks.Grid(frame.format, job.block)
    planes = [_filter_blocks(runtime, plane, job.block_qps,
                             grid.edges(component))
              for component, plane in enumerate(frame.planes)]
  return frames_lib.Frame(tuple(planes), frame.format)


def _filter_blocks(runtime, plane, qps, edges):
  filtered, margin = np.empty_like(plane), runtime.filter.margin
  for row, column in np.ndindex(qps.shape):
    y, x = row * edges[0], column * edges[1]
    top, left = max(0, y - margin), max(0, x - margin)
    window = plane[top:y + edges[0] + margin, left:x + edges[1] + margin]
    result = runtime.filter_plane(window, int(qps[row, column]))
    filtered[y:y + edges[0], x:x + edges[1]] = result[
        y - top:y - top + edges[0], x - left:x - left + edges[1]]
  return filtered


def filtered(source: Source, jobs: Iterable[Job], workers: int = 1
             ) -> Iterator[tuple[Job, frames_lib.Frame]]:
  """Filters frames in order; few of them are in memory.

  Args:
    source: of the filter.
    jobs: taken as room is made for them.
    workers: processes; 1: this one alone. With more each has one thread. The
      bits are the same.

  Yields:
    Each job with its filtered frame.

  Raises:
    InputError: for a bad filter, or if a process dies.
  """
  if workers == 1:
    runtime = source.make()
    for job in jobs:
      yield job, filter_frame(runtime, job)
    return
  # TensorFlow does not survive a fork.
  pool = concurrent.futures.ProcessPoolExecutor(
      workers, multiprocessing.get_context('spawn'), _prepare)
  waiting = collections.deque()
  try:
    for job in jobs:
      # The tag stays here.
      sent = dataclasses.replace(job, tag=None)
      waiting.append((job, pool.submit(_work, source, sent)))
      if len(waiting) == _IN_FLIGHT * workers:
        yield _result(*waiting.popleft())
    while waiting:
      yield _result(*waiting.popleft())
  finally:
    pool.shutdown(cancel_futures=True)


def _result(job, future):
  try:
    return job, future.result()
  except concurrent.futures.process.BrokenProcessPool as error:
    raise errors.InputError(
        'workers: a process was ended from outside (out of memory?), expected '
        'fewer of them or smaller frames') from error


def _prepare():
  """Makes a process of the pool a quiet one of one thread."""
  os.environ['TF_NUM_INTRAOP_THREADS'] = '1'
  os.environ['TF_NUM_INTEROP_THREADS'] = '1'
  # Ctrl-C is the first process's to tell.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
  """Ends this process when the first one was killed and cannot do it."""
  multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
  os._exit(1)


@functools.lru_cache(maxsize=1)
def _runtime(source):
  return source.make()


def _work(source, job):
  return filter_frame(_runtime(source), job)
