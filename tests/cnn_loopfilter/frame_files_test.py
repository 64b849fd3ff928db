import io
import pathlib

import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import frame_files
from cnn_loopfilter import frames


def _random(layout, seed=0):
  random = np.random.default_rng(seed)
  return frames.Frame(tuple(
      random.integers(0, 2 ** layout.depth, shape).astype(
          frames.sample_dtype(layout.depth))
      for shape in layout.plane_shapes), layout)


def _equal(first, second):
  return all(np.array_equal(a, b)
             for a, b in zip(first.planes, second.planes))


@pytest.mark.parametrize('chroma', ['400', '420', '422', '444'])
@pytest.mark.parametrize('depth, width', [(8, 12), (10, 12), (8, 13)])
def test_y4m_is_read_back(tmp_path, chroma, depth, width):
  layout = frames.Format(width, 8, depth, chroma)
  written = [_random(layout, seed) for seed in range(3)]
  with open(tmp_path / 'a.y4m', 'wb') as stream:
    assert frame_files.write_y4m(stream, written) == 3
  sequence = frame_files.open_y4m(tmp_path / 'a.y4m')
  assert (sequence.format, sequence.count) == (layout, 3)
  for _ in range(2):
    assert all(map(_equal, sequence.frames(), written))


def test_words_of_a_y4m_header_are_kept(tmp_path):
  words = ('F30000:1001', 'Ip', 'A1:1', 'C420mpeg2', 'XCOLORRANGE=LIMITED')
  with open(tmp_path / 'a.y4m', 'wb') as stream:
    frame_files.write_y4m(stream, [_random(frames.Format(12, 8))], words)
  assert frame_files.y4m_words(tmp_path / 'a.y4m') == words
  assert frame_files.open_y4m(tmp_path / 'a.y4m').format == frames.Format(12, 8)
  assert frame_files.default_y4m_words(
      frames.Format(12, 8, 10, '400'), (24, 1), (10, 11)) == (
          'F24:1', 'Ip', 'A10:11', 'Cmono10')


def test_yuv_takes_size_and_depth_from_its_name(tmp_path):
  path = tmp_path / 'src01_16x8_10bit_2f.yuv'
  samples = np.arange(2 * 16 * 8 * 3 // 2, dtype='<u2')
  path.write_bytes(samples.tobytes())
  sequence = frame_files.open_file(path)
  assert sequence.format == frames.Format(16, 8, 10)
  last = list(sequence.frames())[1]
  np.testing.assert_array_equal(last.planes[0].ravel(), samples[192:320])
  np.testing.assert_array_equal(last.planes[2].ravel(), samples[-32:])


@pytest.mark.parametrize('name, size', [
    ('a_640x360_12fps.yuv', (640, 360)), ('blue_sky_360p_3f.yuv', (640, 360))])
def test_sizes_in_names(name, size):
  layout = frame_files.format_from_name(pathlib.Path(name))
  assert (layout.width, layout.height, layout.depth) == (*size, 8)


@pytest.mark.parametrize('name, size, message', [
    ('a_16x8.yuv', 191, 'got 191 bytes, expected a multiple of 192'),
    ('a_16x8.yuv', 0, 'got 0 bytes'),
    ('a_16x8_3f.yuv', 384, 'says 3 frames, the file holds 2'),
    ('a.yuv', 192, 'the name holds no size'),
    ('a_15x8.yuv', 192, 'got 192 bytes, expected a multiple of 184'),
    ('a_16x8_9bit.yuv', 192, 'got 9, expected one of 8, 10, 12'),
    ('a.mp4', 1, 'expected a file .yuv'),
])
def test_bad_files_are_told(tmp_path, name, size, message):
  path = tmp_path / name
  path.write_bytes(bytes(size))
  with pytest.raises(errors.InputError, match=message):
    frame_files.open_file(path)


@pytest.mark.parametrize('data, message', [
    (b'RIFF', 'has no end'),
    (b'RIFF\n', 'does not begin with YUV4MPEG2'),
    (b'YUV4MPEG2 W16 H8 C411\n', 'got C411'),
    (b'YUV4MPEG2 W16 H8 It\n', 'interlaced'),
    (b'YUV4MPEG2 W16\n', 'expected W and H'),
    (b'YUV4MPEG2 W0 H8\n', 'got 0x8'),
    (b'YUV4MPEG2 W16 H8\n', 'holds no frame'),
    (b'YUV4MPEG2 W16 H8\nFRAME\nabc', 'ends within frame 0'),
    (b'YUV4MPEG2 W999999998 H999999998\nFRAME\nabc', 'ends within frame 0'),
    (b'YUV4MPEG2 W2 H2\nFRAME\nabcdefFRAM\n', 'expected a line FRAME'),
])
def test_bad_y4m_is_told(tmp_path, data, message):
  (tmp_path / 'a.y4m').write_bytes(data)
  with pytest.raises(errors.InputError, match=message):
    frame_files.open_y4m(tmp_path / 'a.y4m')


def test_raw_bytes_are_planes_in_a_row():
  frame = _random(frames.Format(4, 2))
  stream = io.BytesIO()
  frame_files.write_yuv(stream, [frame])
  assert stream.getvalue() == b''.join(p.tobytes() for p in frame.planes)
  assert _equal(frames.frame_from_bytes(stream.getvalue(), frame.format), frame)


def test_a_broken_picture_is_told(tmp_path):
  (tmp_path / 'a.png').write_bytes(b'no picture')
  with pytest.raises(errors.InputError, match='a.png: no picture'):
    frame_files.open_files([tmp_path])


def test_an_empty_folder_is_told(tmp_path):
  with pytest.raises(errors.InputError, match='no .yuv, .y4m, PNG or JPEG'):
    frame_files.open_files([tmp_path])
