"""AV1 by SVT-AV1, all intra, through PyAV.

AV1 predicts intra from samples before its loop filters: deblocking, CDEF and
loop restoration run when all tiles of a frame are reconstructed (AV1
specification, 7.4), and intra block copy, which reads further away, forbids
them (5.9.11, 5.9.19, 5.9.20). So a filter behind the decoder is a filter in the
loop here too. The decoder cannot leave the filters out, so 'none' is a stream
of its own, coded with them off; it lacks their side information, too.

Found effective in SVT-AV1 4.1.0, by the headers of its streams (the tests read
them): `keyint=1` codes still pictures, `crf=N` with `aq-mode=0` sets base_q_idx
to 4 N in steps of one, without offsets of a frame, a block or chroma; without
`keyint=1` a key frame's is far lower. `tune=1` is for PSNR, `scm=0` leaves
screen content tools (intra block copy) out. Deblocking alone cannot be had:
with CDEF and restoration off its levels become 0 as well.
"""

from collections.abc import Iterable
from collections.abc import Iterator

import av
import numpy as np

from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter.codec import base
from cnn_loopfilter.codec import libav
from cnn_loopfilter.codec import thread_priority

_PRESETS = tuple(map(str, range(14)))
_PARAMETERS = 'aq-mode=0:tune=1:scm=0:keyint=1:lp=2'
_OFF = ':enable-dlf=0:enable-cdef=0:enable-restoration=0'
SMALLEST_QP, LARGEST_QP = 4, 49
# Ac_Qlookup for 8 bits (AV1 specification, 7.12.2): it begins with 4, 8 and
# grows by 1 so many times, then by 2, by 3, ...
_STEP_COUNTS = (94, 25, 17, 13, 10, 9, 7, 6, 6, 5, 5, 4, 4, 4, 3, 3, 3, 3, 3, 2,
                3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 2, 1, 2, 1)
_AC_STEPS = np.cumsum([4, 4, *np.repeat(
    np.arange(1, len(_STEP_COUNTS) + 1), _STEP_COUNTS)])
# From 4 * 62 on, quarters of crf no longer are steps of one.
_LARGEST_QINDEX = 247


def qindex(qp: int) -> int:
  """Returns AV1's base_q_idx with the quantizer step nearest to a QP's.

  HEVC's step is 2^((QP - 4) / 6) (H.265, 8.6.4). AV1's is
  Ac_Qlookup[qindex] / 8, as its transforms' coefficients are eight times those
  of orthonormal ones; nearest is taken on the scale of QP. From QP 16 on the
  two differ by at most a tenth of a QP. At 10 bits the index is the same and
  AV1's own table finer: QP 22's step by 7 %, from QP 27 on by at most 1 %.

  Args:
    qp: SMALLEST_QP .. LARGEST_QP.
  """
  scale = 4 + 6 * np.log2(_AC_STEPS[1:_LARGEST_QINDEX + 1] / 8)
  return 1 + int(np.abs(scale - qp).argmin())


class SvtAv1:
  """SVT-AV1 as a `base.Codec`, told HEVC's QP; see `qindex`.

  Args:
    preset: '0' (slow) to '13'.
  """

  def __init__(self, preset: str = '4'):
    base.check_preset(preset, _PRESETS)
    self._preset = preset
    self.label = f'SVT-AV1 preset {preset}'
    self.filters = ('none', 'all')
    build = libav.version('libsvtav1', 'libdav1d')
    self.description = (
        f'SVT-AV1 through {build}, preset {preset}, '
        f'crf=qindex(QP)/4:{_PARAMETERS}, none with {_OFF}')

  def encode(self, frames: Iterable[frames_lib.Frame], qp: int,
             filters: str) -> Iterator[base.Coded]:
    """Codes frames of one format; see `base.Codec`."""
    base.check(filters, qp, self.filters, LARGEST_QP, SMALLEST_QP)
    for frame in frames:
      watch = base.Stopwatch()
      packets = self._encode(frame, qp, filtered=filters == 'all')
      encode_s = watch.lap()
      reconstruction = libav.decode('libdav1d', packets, frame.format)
      yield base.Coded(reconstruction, 8 * sum(map(len, packets)), encode_s,
                       watch.lap())

  def _encode(self, frame, qp, *, filtered):
    layout = frame.format
    picture_format = libav.pixel_format('SVT-AV1', layout, ('420',))
    parameters = f'crf={qindex(qp) / 4:.2f}:{_PARAMETERS}' + (
        '' if filtered else _OFF)
    try:
      with thread_priority.kept():
        return libav.encode('libsvtav1', frame, picture_format, {
            'preset': self._preset, 'svtav1-params': parameters})
    except av.FFmpegError as error:
      raise errors.InputError(f'SVT-AV1: cannot code {layout.width}x'
                              f'{layout.height} at QP {qp} ({error})'
                              ) from error
