import functools
import io

import numpy as np
import pytest

from cnn_loopfilter import artefact
from cnn_loopfilter import blocks
from cnn_loopfilter import errors
from cnn_loopfilter import frame_workers
from cnn_loopfilter import frames
from cnn_loopfilter import prepare
from cnn_loopfilter import side_file
from cnn_loopfilter import switches
from cnn_loopfilter import video
from cnn_loopfilter import video_filter
from tests.cnn_loopfilter import clips
from tests.cnn_loopfilter import integer_filters

_DIGEST = bytes(32)


@pytest.fixture(scope='module', name='filter_jobs')
def _filter_jobs(tmp_path_factory):
  folder = tmp_path_factory.mktemp('filter')
  artefact.save(integer_filters.random_filter(residual_bits=6), folder)

  def at(layout):
    return functools.partial(frame_workers.filtered, frame_workers.Source(
        str(folder), layout.depth, 'numpy'))
  return at


def _video(layout, count=3, noise=0, qps=None, first=0):
  """Frames of clips.py with steps of 8x8 blocks as coding leaves them."""
  def read():
    for number in range(first, first + count):
      frame, random = clips.frame(layout, number), np.random.default_rng(number)
      planes = tuple(np.clip(
          plane.astype(int) + np.kron(
              random.integers(-noise, noise + 1, (-(-plane.shape[0] // 8),
                                                  -(-plane.shape[1] // 8))),
              np.ones((8, 8), int))[:plane.shape[0], :plane.shape[1]],
          0, 2 ** layout.depth - 1).astype(plane.dtype)
                     for plane in frame.planes)
      yield video.Picture(frames.Frame(planes, layout), qps)
  return video.Video('x.y4m', layout, count, read, (),
                     '' if qps is None else 'the test', '')


def _encoded(coded, original, filter_jobs, coding='arithmetic', *, qp=None,
             block_qp=None):
  stream = io.BytesIO()
  header = side_file.Header(blocks.Grid(coded.format, 32), coding, _DIGEST)
  result = list(video_filter.encode(
      video_filter.jobs(coded, qp, block_qp), filter_jobs(coded.format),
      original, stream, header))
  return result, stream.getvalue()


def _decoded(coded, data, filter_jobs):
  reader = side_file.Reader(io.BytesIO(data), 'x.clf')
  return list(video_filter.decode(coded, filter_jobs(coded.format), reader,
                                  'x.clf'))


def _half_filtered(coded, filter_jobs):
  """The left 32 luma samples as the filter makes them, the rest as it is."""
  layout = coded.format
  grid = blocks.Grid(layout, 32)
  left = np.zeros(grid.shape, bool)
  left[:, 0] = True

  def read():
    for job, filtered in filter_jobs(layout)(video_filter.jobs(coded, 37)):
      yield video.Picture(switches.apply(
          grid, (left,) * len(layout.plane_shapes), job.frame, filtered))
  return video.Video('x.y4m', layout, coded.count, read, (), '', '')


@pytest.mark.parametrize('chroma', list(frames.SUBSAMPLING))
@pytest.mark.parametrize('depth, coding, size', [
    (8, 'arithmetic', (72, 40)), (10, 'plain', (72, 40)),
    (8, 'arithmetic', (71, 37))])
def test_both_sides_reach_the_same_frames(filter_jobs, depth, chroma, coding,
                                          size):
  layout = frames.Format(*size, depth, chroma)
  coded = _video(layout, noise=6)
  original = _half_filtered(coded, filter_jobs)
  result, data = _encoded(coded, original, filter_jobs, coding, qp=37)
  decoded = _decoded(coded, data, filter_jobs)
  told = [record.output_crc for record in
          side_file.Reader(io.BytesIO(data), 'x.clf').records()]
  assert len(set(told)) == 3
  for found in (result, decoded, [p.frame for p in original.open()]):
    assert [side_file.frame_crc(frame) for frame in found] == told
  unfiltered = [side_file.frame_crc(p.frame) for p in coded.open()]
  assert not set(unfiltered) & set(told)


def _error(frames_of, original):
  return [sum(prepare.squared_error(*pair)
              for pair in zip(one.planes, other.frame.planes))
          for one, other in zip(frames_of, original.open(), strict=True)]


def test_switches_never_do_worse_than_either_way(filter_jobs):
  layout = frames.Format(72, 40)
  coded, original = _video(layout, noise=6), _video(layout)
  switched = _error(_encoded(coded, original, filter_jobs, qp=12)[0], original)
  filtered = _error(video_filter.filter_all(
      video_filter.jobs(coded, 12), filter_jobs(layout)), original)
  unfiltered = _error((p.frame for p in coded.open()), original)
  # At QP 12 a bit is worth half a squared sample: 60 flags, 3 frames.
  for one, *others in zip(switched, filtered, unfiltered):
    assert one <= min(others) + 0.57 * 60


def test_the_mean_qp_of_a_stream_is_kept_for_the_decoder(filter_jobs):
  layout = frames.Format(72, 40)
  coded = _video(layout, 2, 6, np.arange(15).reshape(3, 5) + 20)
  result, data = _encoded(coded, _video(layout, 2), filter_jobs)
  records = list(side_file.Reader(io.BytesIO(data), 'x.clf').records())
  assert [(record.qp, record.block_qps) for record in records] == [
      (27, None)] * 2
  # The decoder's side is told by the side file alone.
  decoded = _decoded(_video(layout, 2, 6), data, filter_jobs)
  assert list(map(side_file.frame_crc, decoded)) == list(
      map(side_file.frame_crc, result))


def test_block_qps_come_back_from_the_side_file(filter_jobs):
  layout = frames.Format(72, 40)
  qps = np.arange(15).reshape(3, 5) + 20
  coded = _video(layout, 2, 6, qps)
  result, data = _encoded(coded, _video(layout, 2), filter_jobs, block_qp=32)
  record = next(side_file.Reader(io.BytesIO(data), 'x.clf').records())
  np.testing.assert_array_equal(record.block_qps, video.block_mean(qps, 32))
  decoded = _decoded(_video(layout, 2, 6), data, filter_jobs)
  assert list(map(side_file.frame_crc, decoded)) == list(
      map(side_file.frame_crc, result))


@pytest.mark.parametrize('count, message', [
    (2, 'x.clf: goes on after 2 frames'),
    (4, 'x.clf: ends after 3 frames, expected as many as the input')])
def test_a_side_file_of_another_length_is_told(filter_jobs, count, message):
  layout = frames.Format(40, 24)
  data = _encoded(_video(layout, 3, 6), _video(layout), filter_jobs, qp=30)[1]
  with pytest.raises(errors.InputError, match=message):
    _decoded(_video(layout, count, 6), data, filter_jobs)


def test_originals_of_another_length_are_told(filter_jobs):
  layout = frames.Format(40, 24)
  for count, message in ((2, 'ends after 2'), (4, 'goes on after 3')):
    with pytest.raises(errors.InputError, match=message):
      _encoded(_video(layout, 3, 6), _video(layout, count), filter_jobs, qp=30)


def test_another_video_of_the_same_size_is_told(filter_jobs):
  layout = frames.Format(40, 24)
  data = _encoded(_video(layout, 3, 6), _video(layout), filter_jobs, qp=30)[1]
  with pytest.raises(errors.InputError, match='x.y4m, frame 0: the filtered '
                                              'frame has another checksum'):
    _decoded(_video(layout, 3, 6, first=1), data, filter_jobs)


def test_a_side_file_for_others_is_told():
  layout = frames.Format(40, 24)
  header = side_file.Header(blocks.Grid(layout), 'plain', bytes(32))
  video_filter.check_side_file(header, bytes(32), layout, 'x.clf')
  with pytest.raises(errors.InputError, match='made with the filter 00000'):
    video_filter.check_side_file(header, b'f' * 32, layout, 'x.clf')
  with pytest.raises(errors.InputError, match='x.clf: is for frames of'):
    video_filter.check_side_file(header, bytes(32), frames.Format(40, 26),
                                 'x.clf')


def test_a_video_without_qps_needs_one():
  coded = _video(frames.Format(40, 24))
  with pytest.raises(errors.InputError, match='frame 0: tells no QP'):
    next(video_filter.jobs(coded))
