import av
import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import frames
from cnn_loopfilter import video
from cnn_loopfilter.codec import x265
from tests.cnn_loopfilter import clips

_SMALL = frames.Format(96, 64)


@pytest.mark.parametrize('depth, chroma', [
    (8, '400'), (8, '420'), (10, '420'), (8, '422'), (8, '444')])
def test_all_intra_hevc_is_decoded_without_its_filters(tmp_path, depth, chroma):
  layout = frames.Format(96, 64, depth, chroma)
  path = clips.write_stream(tmp_path / 'a.mkv', layout, 2, 'libx265',
                            preset='ultrafast', tune='psnr',
                            **{'x265-params': clips.X265.format(37)})
  opened = video.open_video(path)
  assert (opened.format, opened.count) == (layout, 2)
  assert 'exactly in the loop' in opened.kind
  assert 'slice headers' in opened.qp_source
  codec = x265.X265('ultrafast')
  for number, picture in enumerate(opened.open()):
    assert (picture.qps == 37).all() and picture.qps.shape == (4, 6)
    coded = next(codec.encode([clips.frame(layout, number)], 37, 'none'))
    for plane, other in zip(picture.frame.planes, coded.reconstruction.planes,
                            strict=True):
      np.testing.assert_array_equal(plane, other)


def test_hashes_of_the_filtered_pictures_do_not_matter(tmp_path):
  path = clips.write_stream(
      tmp_path / 'a.hevc', _SMALL, 2, 'libx265',
      **{'x265-params': clips.X265.format(37) + ':hash=1'})
  assert len(list(video.open_video(path).open())) == 2


def test_other_hevc_is_filtered_behind_the_decoder(tmp_path):
  path = clips.write_stream(tmp_path / 'a.mkv', _SMALL, 3, 'libx265',
                            **{'x265-params': 'qp=30:bframes=0:log-level=none'})
  opened = video.open_video(path)
  assert 'hevc, not all-intra HEVC: a filter behind' in opened.kind
  assert len(list(opened.open())) == 3


@pytest.mark.parametrize('depth, told', [(8, '35'), (10, '47')])
def test_the_qp_of_h264_is_on_hevcs_scale(tmp_path, depth, told):
  # x264 counts 6 more for each bit above 8.
  path = clips.write_stream(tmp_path / 'a.mkv', frames.Format(96, 64, depth), 2,
                            **{'x264-params': f'qp={told}:ipratio=1'})
  opened = video.open_video(path)
  assert 'side data' in opened.qp_source
  for picture in opened.open():
    assert picture.qps.shape == (4, 6)
    assert (picture.qps == 35).all()


def test_qps_differ_from_block_to_block_where_the_encoder_adapts(tmp_path):
  path = clips.write_stream(
      tmp_path / 'a.mkv', frames.Format(256, 128), 2, crf='30',
      **{'aq-mode': '1'})
  pictures = list(video.open_video(path).open())
  assert len(np.unique(pictures[0].qps)) > 1
  assert video.block_mean(pictures[0].qps, 64).shape == (2, 4)


# With B frames the time stamp of a single frame is not always set.
@pytest.mark.parametrize('full, word', [
    (False, 'XCOLORRANGE=LIMITED'), (True, 'XCOLORRANGE=FULL')])
def test_range_and_rate_are_kept(tmp_path, full, word):
  path = clips.write_stream(tmp_path / 'a.mkv', _SMALL, 1, 'libx265', full=full,
                            **{'x265-params': 'qp=30:bframes=0:log-level=none'})
  assert video.open_video(path).words == (
      'F30000:1001', 'Ip', 'A1:1', 'C420', word)


@pytest.mark.parametrize('chroma', ['420', '422'])
def test_odd_sizes_keep_their_chroma(tmp_path, chroma):
  layout = frames.Format(97, 63, 8, chroma)
  path = clips.write_stream(tmp_path / 'a.mkv', layout, 2, 'ffv1')
  opened = video.open_video(path)
  assert opened.format == layout
  for number, picture in enumerate(opened.open()):
    # FFV1 loses nothing.
    assert picture.frame.to_bytes() == clips.frame(layout, number).to_bytes()


def test_quantizers_on_other_scales_are_not_taken_for_qps(tmp_path):
  path = clips.write_stream(tmp_path / 'a.mkv', _SMALL, 2, 'mpeg2video')
  opened = video.open_video(path)
  assert not opened.qp_source
  assert all(picture.qps is None for picture in opened.open())


def test_a_stream_that_ends_early_is_told(tmp_path):
  path = clips.write_stream(tmp_path / 'a.h264', _SMALL, 3, qp='20', g='1')
  data = path.read_bytes()
  path.write_bytes(data[:-len(data) // 8])
  opened = video.open_video(path)
  with pytest.raises(errors.InputError, match='a.h264: cannot be read or '
                                              'decoded'):
    list(opened.open())


@pytest.mark.parametrize('options, codec, name, message', [
    ({}, 'libmp3lame', 'a.mp3', 'has no video'),
    ({'pix_fmt': 'rgb24'}, 'png', 'a.mov', 'pixel format rgb24, expected'),
])
def test_streams_of_other_kinds_are_told(tmp_path, options, codec, name,
                                         message):
  with av.open(str(tmp_path / name), 'w') as container:
    stream = container.add_stream(codec, rate=25 if options else 44100)
    if options:
      stream.width, stream.height, stream.pix_fmt = 32, 32, 'rgb24'
      picture = av.VideoFrame(32, 32, 'rgb24')
    else:
      picture = av.AudioFrame('s16p', 'stereo', 1152)
      picture.sample_rate = 44100
    picture.pts = 0
    container.mux(stream.encode(picture))
    container.mux(stream.encode(None))
  with pytest.raises(errors.InputError, match=message):
    video.open_video(tmp_path / name)
