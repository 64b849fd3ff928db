import av
import numpy as np
import pytest

from cnn_loopfilter import frames
from cnn_loopfilter import hevc_headers
from tests.cnn_loopfilter import clips


def _packets(path):
  """Pictures with start codes and parameter sets, and which are key frames."""
  with av.open(str(path)) as container:
    stream = container.streams.video[0]
    start_codes = av.bitstream.BitStreamFilterContext(
        'hevc_mp4toannexb', stream)
    return [(bytes(unit), unit.is_keyframe)
            for packet in container.demux(stream) if packet.size
            for unit in start_codes.filter(packet)]


def _coded(path, layout, count, parameters):
  return _packets(clips.write_stream(
      path, layout, count, 'libx265', preset='ultrafast',
      **{'x265-params': parameters}))


@pytest.mark.parametrize('qp', [0, 22, 37, 51])
@pytest.mark.parametrize('name, layout, more', [
    ('a.mkv', frames.Format(96, 64), ''),
    ('a.hevc', frames.Format(160, 128, 10, '444'), ':slices=2'),
    ('a.mp4', frames.Format(96, 64, 8, '400'),
     ':scaling-list=default:no-sao=1'),
    ('a.mkv', frames.Format(208, 120, 8, '422'), ':opt-qp-pps=1:ref=4'),
], ids=['plain', 'slices', 'scaling', 'sets'])
def test_the_qp_is_the_one_that_x265_was_told(tmp_path, name, layout, more, qp):
  headers = hevc_headers.Headers()
  packets = _coded(tmp_path / name, layout, 2, clips.X265.format(qp) + more)
  assert [headers.qp_of(data) for data, _ in packets] == [qp, qp]


def test_intra_pictures_among_others_are_read(tmp_path):
  packets = _coded(
      tmp_path / 'a.mkv', frames.Format(96, 64), 9,
      'qp=33:ipratio=1:keyint=4:min-keyint=4:open-gop=1:bframes=2:ref=3:'
      'scenecut=0:log-level=none')
  headers = hevc_headers.Headers()
  found = [headers.qp_of(data) for data, _ in packets]
  assert found == [33 if key else None for _, key in packets]
  assert found.count(33) == 3 and found.count(None) == 6
  # The later ones are clean random access pictures, with reference sets.
  assert any(b'\0\0\1\x2a\x01' in data for data, _ in packets)


def test_without_parameter_sets_nothing_is_told(tmp_path):
  data = _coded(tmp_path / 'a.mkv', frames.Format(96, 64), 1,
                clips.X265.format(30))[0][0]
  units = data.split(b'\0\0\1')
  alone = b'\0\0\1' + units[-1]
  assert hevc_headers.Headers().qp_of(data) == 30
  assert hevc_headers.Headers().qp_of(alone) is None
  assert hevc_headers.Headers().qp_of(b'') is None


def test_damaged_headers_give_a_qp_or_none(tmp_path):
  data = _coded(tmp_path / 'a.mkv', frames.Format(96, 64), 1,
                clips.X265.format(30))[0][0][:400]
  random = np.random.default_rng(0)
  for _ in range(500):
    changed = np.frombuffer(data, np.uint8).copy()
    places = random.integers(0, len(changed), 4)
    changed[places] = random.integers(0, 256, 4)
    qp = hevc_headers.Headers().qp_of(changed.tobytes())
    assert qp is None or -48 <= qp <= 51
