"""HEVC by x265, all intra, through PyAV.

`ipratio=1.0` makes the QP of an intra frame the QP that was asked for (it is
3 lower otherwise), `tune=psnr` keeps psychovisual choices from lowering PSNR.
HEVC predicts from samples before its loop filters in an intra frame, so one
stream holds both pictures: decoded as it is, it shows the filtered one; with
`skip_loop_filter` the unfiltered one, the same that an encoder with its
filters off would have made.
"""

from collections.abc import Iterable
from collections.abc import Iterator

import av

from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter.codec import base
from cnn_loopfilter.codec import libav

# x264 has the same.
PRESETS = ('ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium',
           'slow', 'slower', 'veryslow', 'placebo')
# Two workers wherever it runs: with none, x265 codes rows in one piece and the
# stream is another. One frame at a time keeps memory flat.
_PARAMETERS = ('keyint=1:ipratio=1.0:bframes=0:rc-lookahead=0:info=0:'
               'frame-threads=1:pools=2:log-level=none')
_CHROMAS = ('400', '420', '422', '444')


class X265:
  """x265 as a `base.Codec`.

  Args:
    preset: of x265.
  """

  def __init__(self, preset: str = 'medium'):
    base.check_preset(preset, PRESETS)
    self._preset = preset
    self.label = f'x265 {preset}'
    self.filters = base.FILTERS
    build = libav.version('libx265', 'hevc')
    self.description = (f'x265 through {build}, preset '
                        f'{preset}, tune psnr, qp=QP:{_PARAMETERS}')

  def encode(self, frames: Iterable[frames_lib.Frame], qp: int,
             filters: str) -> Iterator[base.Coded]:
    """Codes frames of one format; see `base.Codec`."""
    base.check(filters, qp)
    # A context for each frame: frames share nothing in an all-intra stream,
    # and so neither the length of a video nor a stop in it changes a frame.
    for frame in frames:
      watch = base.Stopwatch()
      packets = self._encode(frame, qp, sao=filters == 'all')
      encode_s = watch.lap()
      reconstruction = libav.decode('hevc', packets, frame.format,
                                    unfiltered=filters == 'none')
      yield base.Coded(reconstruction, 8 * sum(map(len, packets)), encode_s,
                       watch.lap())

  def _encode(self, frame, qp, *, sao):
    layout = frame.format
    picture_format = libav.pixel_format('x265', layout, _CHROMAS)
    parameters = f'qp={qp}:{_PARAMETERS}' + ('' if sao else ':no-sao=1')
    try:
      return libav.encode('libx265', frame, picture_format, {
          'preset': self._preset, 'tune': 'psnr', 'x265-params': parameters})
    except av.FFmpegError as error:
      raise errors.InputError(
          f'x265: cannot code {layout.width}x{layout.height} at QP {qp} '
          f'({error}); expected at least 32x32 samples') from error
