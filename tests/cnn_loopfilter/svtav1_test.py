import os

import av
import numpy as np
import pytest

from cnn_loopfilter import errors
from cnn_loopfilter import frames
from cnn_loopfilter.codec import svtav1
from tests.cnn_loopfilter import stream_headers
from tests.cnn_loopfilter import wave_frames


def _coded(qp, filtered):
  packets = svtav1.SvtAv1()._encode(wave_frames.frame(128, 64), qp,
                                    filtered=filtered)
  return stream_headers.read(packets, 'libsvtav1', 'ivf')


@pytest.mark.parametrize('qp', [4, 22, 37, 49])
def test_the_quantizer_is_the_one_that_was_asked_for(qp):
  told = _coded(qp, filtered=True)
  assert told['base_q_idx'] == svtav1.qindex(qp)
  for key in ('delta_q_y_dc.delta_coded', 'delta_q_u_dc.delta_coded',
              'delta_q_u_ac.delta_coded', 'using_qmatrix',
              'segmentation_enabled', 'delta_q_present', 'frame_type',
              'film_grain_params_present', 'enable_superres'):
    assert told[key] == 0, key


def test_every_filter_is_on_or_off_as_claimed():
  on, off = _coded(37, filtered=True), _coded(37, filtered=False)
  assert on['loop_filter_level[0]'] > 0 and on['enable_cdef'] == 1
  assert on['enable_restoration'] == 1
  assert off['loop_filter_level[0]'] == off['loop_filter_level[1]'] == 0
  assert off['enable_cdef'] == off['enable_restoration'] == 0
  # Intra block copy, which would switch the filters off, needs this tool.
  assert on['allow_screen_content_tools'] == 0


def test_deblocking_alone_cannot_be_had(monkeypatch):
  """Should a later version do it, `filters` may gain 'deblocking'."""
  monkeypatch.setattr(svtav1, '_OFF', ':enable-cdef=0:enable-restoration=0')
  told = _coded(37, filtered=False)
  assert told['loop_filter_level[0]'] == told['loop_filter_level[1]'] == 0


def test_the_step_is_nearest_to_hevc_s():
  # The table's ends and a middle one: AV1 specification, Ac_Qlookup.
  assert len(svtav1._AC_STEPS) == 256
  assert svtav1._AC_STEPS[[0, 1, 95, 120, 137, 255]].tolist() == [
      4, 8, 102, 152, 203, 1828]
  for qp in range(16, 50):
    step = svtav1._AC_STEPS[svtav1.qindex(qp)] / 8
    assert abs(4 + 6 * np.log2(step) - qp) < 0.1
  assert [svtav1.qindex(qp) for qp in (4, 22, 27, 32, 37)] == [
      1, 57, 101, 137, 169]


@pytest.mark.parametrize('depth', [8, 10])
def test_filters_help_and_lower_qps_are_better(depth):
  frame = wave_frames.frame(128, 96, depth)
  one = svtav1.SvtAv1()
  found = {}
  for qp, filters in ((24, 'all'), (40, 'all'), (40, 'none')):
    coded = next(one.encode([frame], qp, filters))
    errors_of_planes = [np.mean((a.astype(float) - b) ** 2) for a, b in
                        zip(frame.planes, coded.reconstruction.planes)]
    found[qp, filters] = errors_of_planes[0], coded.bits
  assert found[24, 'all'][0] < found[40, 'all'][0] < found[40, 'none'][0]
  assert found[24, 'all'][1] > found[40, 'all'][1] > 0


@pytest.mark.parametrize('threads', ['lp=1', 'lp=4'])
def test_the_stream_does_not_depend_on_threads(monkeypatch, threads):
  frame = wave_frames.frame(256, 192)
  packets = svtav1.SvtAv1()._encode(frame, 27, filtered=True)
  monkeypatch.setattr(svtav1, '_PARAMETERS',
                      svtav1._PARAMETERS.replace('lp=2', threads))
  assert svtav1.SvtAv1()._encode(frame, 27, filtered=True) == packets


@pytest.mark.skipif(not hasattr(os, 'sched_getscheduler'),
                    reason='no scheduling policies on this system')
def test_the_calling_thread_keeps_its_scheduling():
  """As root SVT-AV1 makes it a real-time thread."""
  before = os.sched_getscheduler(0), os.sched_getparam(0)
  _coded(32, filtered=True)
  assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before


def test_what_svt_av1_cannot_do_is_told(monkeypatch):
  frame, one = wave_frames.frame(), svtav1.SvtAv1()
  with pytest.raises(errors.InputError, match='got 3, expected 4 to 49'):
    next(one.encode([frame], 3, 'all'))
  with pytest.raises(errors.InputError,
                     match="got 'deblocking', expected one of none, all"):
    next(one.encode([frame], 30, 'deblocking'))
  with pytest.raises(errors.InputError, match="preset: got 'medium'"):
    svtav1.SvtAv1('medium')
  layout = frames.Format(64, 64, 8, '444')
  wide = frames.Frame((np.zeros((64, 64), np.uint8),) * 3, layout)
  with pytest.raises(errors.InputError, match='chroma 444, expected one of'):
    next(one.encode([wide], 30, 'all'))
  tiny = frames.Frame((np.zeros((2, 2), np.uint8),
                       *[np.zeros((1, 1), np.uint8)] * 2), frames.Format(2, 2))
  with pytest.raises(errors.InputError, match='cannot code 2x2 at QP 30'):
    next(one.encode([tiny], 30, 'all'))
  monkeypatch.setattr(av, 'codecs_available', {'libsvtav1'})
  with pytest.raises(errors.InputError, match='has no libdav1d, expected'):
    svtav1.SvtAv1()
