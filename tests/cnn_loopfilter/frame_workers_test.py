import os

import numpy as np
import pytest

from cnn_loopfilter import artefact
from cnn_loopfilter import blocks
from cnn_loopfilter import errors
from cnn_loopfilter import frame_workers
from cnn_loopfilter import frames
from cnn_loopfilter import runtime
from tests.cnn_loopfilter import clips
from tests.cnn_loopfilter import integer_filters


@pytest.fixture(scope='module', name='folder')
def _folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('filter')
  artefact.save(integer_filters.random_filter(), folder)
  return str(folder)


def _jobs(count, layout):
  return [frame_workers.Job(clips.frame(layout, n), 20 + n, tag=n)
          for n in range(count)]


def _equal(first, second):
  return all(np.array_equal(a, b)
             for a, b in zip(first.planes, second.planes, strict=True))


def test_several_processes_give_one_process_s_frames_in_order(folder):
  layout = frames.Format(40, 24)
  source = frame_workers.Source(folder, 8, 'numpy')
  one = list(frame_workers.filtered(source, _jobs(7, layout)))
  two = list(frame_workers.filtered(source, _jobs(7, layout), 2))
  assert [job.tag for job, _ in two] == list(range(7))
  for (job, first), (_, second) in zip(one, two, strict=True):
    assert not _equal(job.frame, first)
    assert _equal(first, second)


def test_few_frames_are_taken_before_the_first_is_given(folder):
  taken = []

  def counted():
    for job in _jobs(40, frames.Format(16, 16, 8, '400')):
      taken.append(job.tag)
      yield job

  found = frame_workers.filtered(frame_workers.Source(folder, 8, 'numpy'),
                                 counted(), 2)
  next(found)
  assert len(taken) == 4
  next(found)
  assert len(taken) == 5
  found.close()


def test_blocks_with_qps_of_their_own_are_cut_out_of_whole_planes(folder):
  layout = frames.Format(150, 70, 8, '422')
  grid = blocks.Grid(layout, 32)
  qps = np.random.default_rng(0).integers(15, 45, grid.shape)
  one = runtime.of(artefact.load(folder), 'numpy')
  frame = clips.frame(layout)
  found = frame_workers.filter_frame(
      one, frame_workers.Job(frame, 0, qps, grid.size))
  for component, plane in enumerate(frame.planes):
    own = grid.spread(component, qps)
    for qp in np.unique(qps):
      np.testing.assert_array_equal(
          found.planes[component][own == qp],
          one.filter_plane(plane, int(qp))[own == qp])


@pytest.mark.parametrize('workers', [1, 2])
def test_a_bad_filter_is_told_from_any_process(tmp_path, workers):
  with pytest.raises(errors.InputError, match='filter.json: no such file'):
    list(frame_workers.filtered(
        frame_workers.Source(str(tmp_path), 8), _jobs(
            1, frames.Format(16, 16)), workers))


class _Ending(np.ndarray):
  """A plane that ends the process that reads it."""

  def __reduce__(self):
    return os._exit, (3,)


def test_a_process_that_dies_is_told(folder):
  job = _jobs(1, frames.Format(16, 16, 8, '400'))[0]
  job.frame.planes[0].flags.writeable = True
  deadly = frames.Frame((job.frame.planes[0].view(_Ending),), job.frame.format)
  with pytest.raises(errors.InputError, match='a process was ended from'):
    list(frame_workers.filtered(frame_workers.Source(folder, 8, 'numpy'),
                                [frame_workers.Job(deadly, 30)], 2))
