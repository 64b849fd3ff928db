import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import frames
from cnn_loopfilter import video
from tests.cnn_loopfilter import clips

_SMALL = frames.Format(96, 64)


def test_a_y4m_keeps_its_words(tmp_path):
  words = ('F30000:1001', 'Ip', 'A10:11', 'C420mpeg2', 'XCOLORRANGE=FULL',
           'XYSCSS=420MPEG2')
  path = clips.write_y4m(tmp_path / 'a.y4m', _SMALL, 2, words=words)
  opened = video.open_video(path)
  assert (opened.format, opened.count, opened.words) == (_SMALL, 2, words)
  assert not opened.qp_source
  with open(tmp_path / 'b.y4m', 'wb') as stream:
    video.write(tmp_path / 'b.y4m', stream,
                (picture.frame for picture in opened.open()), opened.words)
  assert (tmp_path / 'b.y4m').read_bytes() == path.read_bytes()


def test_raw_video_takes_its_format_by_name_or_flag(tmp_path):
  layout = frames.Format(32, 16, 10, '444')
  data = b''.join(clips.frame(layout, n).to_bytes() for n in range(2))
  (tmp_path / 'x.yuv').write_bytes(data)
  opened = video.open_video(tmp_path / 'x.yuv', layout)
  assert (opened.format, opened.count) == (layout, 2)
  assert opened.words[-1] == 'C444p10'
  with open(tmp_path / 'y.yuv', 'wb') as stream:
    assert video.write(tmp_path / 'y.yuv', stream, (
        picture.frame for picture in opened.open()), opened.words) == 2
  assert (tmp_path / 'y.yuv').read_bytes() == data


@pytest.mark.parametrize('qps, edge, expected', [
    ([[20, 21], [22, 23]], 32, [[22]]),
    ([[20, 20], [20, 21]], 32, [[20]]),
    ([[20, 30, 40]], 32, [[25, 40]]),
    ([[1] * 9] * 5, 64, [[1, 1, 1], [1, 1, 1]]),
])
def test_a_blocks_qp_is_the_mean_of_its_macroblocks(qps, edge, expected):
  np.testing.assert_array_equal(video.block_mean(np.array(qps), edge), expected)


def test_a_frames_qp_is_the_nearest_to_the_mean():
  assert [video.frame_mean(np.array(qps)) for qps in (
      [[30, 31]], [[30, 30, 31]], [[0, 0]], [[51, 50, 51]])] == [31, 30, 0, 51]


@pytest.mark.parametrize('name, message', [
    ('none.y4m', 'none.y4m: no such file'),
    ('none.mkv', 'none.mkv: no such file'),
    ('text.mkv', 'text.mkv: cannot be read or decoded'),
    ('text.y4m', 'does not begin with YUV4MPEG2'),
])
def test_files_that_are_none_are_told(tmp_path, name, message):
  for ending in ('mkv', 'y4m'):
    (tmp_path / f'text.{ending}').write_bytes(b'no video\n')
  with pytest.raises(errors.InputError, match=message):
    video.open_video(tmp_path / name)


def test_an_output_of_another_ending_is_refused(tmp_path):
  with pytest.raises(errors.InputError, match="ending '.mp4', expected .y4m"):
    video.check_output(tmp_path / 'x.mp4')
