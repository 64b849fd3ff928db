import av
import numpy as np
import pytest

from cnn_loopfilter import codec
from cnn_loopfilter import data_config
from cnn_loopfilter import errors
from cnn_loopfilter import frames
from cnn_loopfilter.codec import libav
from cnn_loopfilter.codec import x264
from tests.cnn_loopfilter import stream_headers
from tests.cnn_loopfilter import wave_frames


@pytest.mark.parametrize('depth', [8, 10])
def test_unfiltered_is_what_an_encoder_without_deblocking_makes(
    monkeypatch, depth):
  frame = wave_frames.frame(height=38, depth=depth)
  unfiltered = next(x264.X264().encode([frame], 37, 'none'))
  deblocked = next(x264.X264().encode([frame], 37, 'all'))
  monkeypatch.setattr(x264, '_PARAMETERS',
                      x264._PARAMETERS + ':no-deblock=1')
  without = next(x264.X264().encode([frame], 37, 'all'))
  assert wave_frames.equal(unfiltered, without)
  assert not wave_frames.equal(unfiltered, deblocked)
  assert unfiltered.bits == deblocked.bits


@pytest.mark.parametrize('qp', [8, 22, 37, 51])
def test_the_qp_is_the_one_that_was_asked_for(qp):
  told = stream_headers.read(
      x264.X264()._encode(wave_frames.frame(), qp), 'libx264', 'h264')
  assert 26 + told['pic_init_qp_minus26'] + told['slice_qp_delta'] == qp
  # Chroma's offset and adaptive quantization's would be here and in blocks.
  assert told['chroma_qp_index_offset'] == 0


@pytest.mark.parametrize('chroma, planes', [('400', 1), ('422', 3),
                                            ('444', 3)])
def test_other_chroma_formats_are_kept(chroma, planes):
  layout = frames.Format(32, 32, 8, chroma)
  frame = frames.Frame(
      tuple(np.arange(height * width, dtype=np.uint8).reshape(height, width)
            for height, width in layout.plane_shapes), layout)
  coded = next(x264.X264().encode([frame], 8, 'all'))
  assert len(coded.reconstruction.planes) == planes
  for before, after in zip(frame.planes, coded.reconstruction.planes):
    assert np.abs(before.astype(int) - after).mean() < 2


def test_what_x264_cannot_do_is_told(monkeypatch):
  frame = wave_frames.frame()
  with pytest.raises(errors.InputError,
                     match="got 'deblocking', expected one of none, all"):
    next(x264.X264().encode([frame], 30, 'deblocking'))
  with pytest.raises(errors.InputError, match='got 52, expected 0 to 51'):
    next(x264.X264().encode([frame], 52, 'all'))
  with pytest.raises(errors.InputError, match="preset: got 'best'"):
    codec.from_config(data_config.CodecConfig(name='x264', preset='best'))
  monkeypatch.setattr(av, 'codecs_available', {'libx265'})
  with pytest.raises(errors.InputError, match='has no libx264, expected'):
    x264.X264()


def test_a_stream_of_another_size_is_told():
  packets = x264.X264()._encode(wave_frames.frame(), 30)
  with pytest.raises(errors.InputError,
                     match='to 64x48, expected one frame of 64x64'):
    libav.decode('h264', packets, frames.Format(64, 64))
