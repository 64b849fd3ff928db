import sys

import numpy as np
import pytest

from cnn_loopfilter import codec
from cnn_loopfilter import data_config
from cnn_loopfilter import errors
from cnn_loopfilter import frames
from cnn_loopfilter.codec import cached
from cnn_loopfilter.codec import external
from cnn_loopfilter.codec import x265
from tests.cnn_loopfilter import wave_frames


@pytest.mark.parametrize('depth', [8, 10])
@pytest.mark.parametrize('height', [48, 38])
def test_unfiltered_is_what_an_encoder_without_filters_makes(
    monkeypatch, depth, height):
  frame = wave_frames.frame(height=height, depth=depth)
  unfiltered = next(x265.X265().encode([frame], 37, 'none'))
  deblocked = next(x265.X265().encode([frame], 37, 'deblocking'))
  monkeypatch.setattr(x265, '_PARAMETERS',
                      x265._PARAMETERS + ':no-deblock=1')
  without = next(x265.X265().encode([frame], 37, 'deblocking'))
  assert wave_frames.equal(unfiltered, without)
  assert not wave_frames.equal(unfiltered, deblocked)
  assert unfiltered.bits == deblocked.bits


def test_frames_come_out_in_order_and_better_at_lower_qp():
  sources = [wave_frames.frame(), wave_frames.frame(depth=8)]
  sources[1] = frames.Frame(tuple(p[::-1].copy() for p in sources[1].planes),
                            sources[1].format)
  errors_at = []
  for qp in (10, 40):
    coded = list(x265.X265().encode(sources, qp, 'all'))
    errors_at.append([
        np.mean((a.planes[0].astype(int) - b.reconstruction.planes[0]) ** 2)
        for a, b in zip(sources, coded)])
  assert max(errors_at[0]) < min(errors_at[1]) < 200


@pytest.mark.parametrize('pools', ['pools=1', 'pools=3'])
def test_the_stream_does_not_depend_on_threads(monkeypatch, pools):
  frame = wave_frames.frame(192, 128)
  packets = x265.X265()._encode(frame, 27, sao=True)
  monkeypatch.setattr(x265, '_PARAMETERS',
                      x265._PARAMETERS.replace('pools=2', pools))
  assert x265.X265()._encode(frame, 27, sao=True) == packets


def test_x265_tells_what_it_cannot_do():
  with pytest.raises(errors.InputError, match='got 52, expected 0 to 51'):
    next(x265.X265().encode([wave_frames.frame()], 52, 'none'))
  with pytest.raises(errors.InputError, match="got 'sao', expected one of"):
    next(x265.X265().encode([wave_frames.frame()], 30, 'sao'))
  with pytest.raises(errors.InputError, match="preset: got 'best'"):
    x265.X265('best')
  with pytest.raises(errors.InputError, match='12 bits, expected 8 or 10'):
    next(x265.X265().encode([wave_frames.frame(depth=12)], 30, 'none'))
  layout = frames.Format(63, 48)
  odd = frames.frame_from_bytes(bytes(layout.frame_bytes), layout)
  with pytest.raises(errors.InputError, match='got 63x48, expected multiples'):
    next(x265.X265().encode([odd], 30, 'none'))


def test_a_cached_coding_is_not_made_again(tmp_path):
  class Counting(x265.X265):
    calls = 0

    def encode(self, *arguments):
      self.calls += 1
      return super().encode(*arguments)

  inner, frame = Counting(), wave_frames.frame()
  coded = [next(cached.Cached(inner, tmp_path).encode([frame], 30, 'none'))
           for _ in range(2)]
  assert inner.calls == 1 and coded[0].bits == coded[1].bits
  assert wave_frames.equal(*coded)
  for file in tmp_path.iterdir():
    file.write_bytes(file.read_bytes()[:50])
  again = next(cached.Cached(inner, tmp_path).encode([frame], 30, 'none'))
  assert inner.calls == 2 and wave_frames.equal(again, coded[0])


def _programs(encoder, decoder, **more):
  return data_config.CodecConfig(
      name='external', encode_command=(sys.executable, '-c', encoder,
                                       '{input}', '{bitstream}', '{qp}'),
      decode_command=(sys.executable, '-c', decoder, '{bitstream}',
                      '{output}'), **more)


_COPY = 'import shutil, sys; shutil.copy(*sys.argv[1:3])'


def test_an_external_codec_runs_as_programs():
  """A codec that copies: a space and a quote in an argument do no harm."""
  config = _programs(_COPY, _COPY + '; "a  b $HOME"', label='copy')
  sources = [wave_frames.frame(), wave_frames.frame()]
  coded = list(codec.from_config(config).encode(sources, 60, 'none'))
  size = sources[0].format.frame_bytes
  assert [one.bits for one in coded] == [8 * size, 8 * size]
  for source, one in zip(sources, coded):
    np.testing.assert_array_equal(source.planes[1],
                                  one.reconstruction.planes[1])


@pytest.mark.parametrize('encoder, decoder, message', [
    ('print("one\\ntwo"); raise SystemExit(3)', _COPY,
     'failed with status 3; its last lines: one | two'),
    ('pass', _COPY, 'wrote no bitstream.bin'),
    (_COPY, 'import sys; open(sys.argv[2], "wb").write(b"abc")',
     'decodes to 3 bytes, expected 4608: 1 frames of 64x48 at 8 bits'),
])
def test_external_programs_that_fail_are_told(encoder, decoder, message):
  one = external.External(_programs(encoder, decoder))
  with pytest.raises(errors.InputError) as caught:
    next(one.encode([wave_frames.frame()], 30, 'none'))
  assert message in str(caught.value) and '\n' not in str(caught.value)


def test_a_missing_program_or_place_is_told():
  config = data_config.CodecConfig(
      name='external', encode_command=('no-such-encoder', '{input}'),
      decode_command=('d',))
  with pytest.raises(errors.InputError, match='cannot start no-such-encoder'):
    next(external.External(config).encode([wave_frames.frame()], 30, 'none'))
  with pytest.raises(errors.InputError, match="no encoder with filters 'all'"):
    next(external.External(config).encode([wave_frames.frame()], 30, 'all'))
  with pytest.raises(errors.InputError, match='expected {input}, {output}'):
    external.External(data_config.CodecConfig(
        name='external', encode_command=('e', '{inptu}'),
        decode_command=('d',)))
