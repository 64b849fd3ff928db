"""H.264 by x264, all intra, through PyAV.

H.264's QP has HEVC's scale, a step of 2^((QP - 4) / 6) (ITU-T H.264, 8.5.9;
H.265, 8.6.4), so the QP is handed on as it is. Chroma's QP for 4:2:0 is HEVC's
up to a luma QP of 43, but for 34, where it is one less; above that it is up to
six less (H.264, Table 8-15; H.265, Table 8-10).

`ipratio=1` and `tune=psnr` do what they do for x265, the latter also switching
adaptive quantization off. H.264 too predicts intra from samples before
deblocking (8.3.1.2: "prior to the deblocking filter process"), so one stream
holds both pictures; deblocking is its only loop filter.
"""

from collections.abc import Iterable
from collections.abc import Iterator

import av

from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter.codec import base
from cnn_loopfilter.codec import libav
from cnn_loopfilter.codec import x265

# With several threads x264 may cut a frame into slices, which costs bits.
_PARAMETERS = 'keyint=1:ipratio=1.0:threads=1'
_CHROMAS = ('400', '420', '422', '444')


class X264:
  """x264 as a `base.Codec`; 'all' of its filters is deblocking.

  Args:
    preset: of x264.
  """

  def __init__(self, preset: str = 'medium'):
    base.check_preset(preset, x265.PRESETS)
    self._preset = preset
    self.label = f'x264 {preset}'
    self.filters = ('none', 'all')
    build = libav.version('libx264', 'h264')
    self.description = (f'x264 through {build}, preset '
                        f'{preset}, tune psnr, qp=QP:{_PARAMETERS}')

  def encode(self, frames: Iterable[frames_lib.Frame], qp: int,
             filters: str) -> Iterator[base.Coded]:
    """Codes frames of one format; see `base.Codec`."""
    base.check(filters, qp, self.filters)
    for frame in frames:
      watch = base.Stopwatch()
      packets = self._encode(frame, qp)
      encode_s = watch.lap()
      reconstruction = libav.decode('h264', packets, frame.format,
                                    unfiltered=filters == 'none')
      yield base.Coded(reconstruction, 8 * sum(map(len, packets)), encode_s,
                       watch.lap())

  def _encode(self, frame, qp):
    layout = frame.format
    picture_format = libav.pixel_format('x264', layout, _CHROMAS)
    try:
      return libav.encode('libx264', frame, picture_format, {
          'preset': self._preset, 'tune': 'psnr',
          'x264-params': f'qp={qp}:{_PARAMETERS}'})
    except av.FFmpegError as error:
      raise errors.InputError(f'x264: cannot code {layout.width}x'
                              f'{layout.height} at QP {qp} ({error})'
                              ) from error
