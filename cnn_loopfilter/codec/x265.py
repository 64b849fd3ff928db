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
import fractions

import av
import numpy as np

from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter.codec import av_frames
from cnn_loopfilter.codec import base

_PRESETS = ('ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium',
            'slow', 'slower', 'veryslow', 'placebo')
# Two workers wherever it runs: with none, x265 codes rows in one piece and the
# stream is another. One frame at a time keeps memory flat.
_PARAMETERS = ('keyint=1:ipratio=1.0:bframes=0:rc-lookahead=0:info=0:'
               'frame-threads=1:pools=2:log-level=none')


def _pixel_format(layout):
  if layout.depth not in (8, 10):
    raise errors.InputError(
        f'x265: got {layout.depth} bits, expected 8 or 10')
  rows, columns = frames_lib.SUBSAMPLING[layout.chroma] or (1, 1)
  if layout.height % rows or layout.width % columns:
    raise errors.InputError(
        f'x265: got {layout.width}x{layout.height}, expected multiples of '
        f'{columns}x{rows} for chroma {layout.chroma}')
  depth = '' if layout.depth == 8 else f'{layout.depth}le'
  if layout.chroma == '400':
    return f'gray{depth}'
  return f'yuv{layout.chroma}p{depth}'


class X265:
  """x265 as a `base.Codec`.

  Args:
    preset: of x265.
  """

  def __init__(self, preset: str = 'medium'):
    if preset not in _PRESETS:
      raise errors.InputError(f'codec.preset: got {preset!r}, expected one of '
                              f'{", ".join(_PRESETS)}')
    self._preset = preset
    self.label = f'x265 {preset}'
    self.filters = base.FILTERS
    library = '.'.join(map(str, av.library_versions['libavcodec']))
    self.description = (f'x265 through PyAV {av.__version__} (libavcodec '
                        f'{library}), preset {preset}, tune psnr, '
                        f'qp=QP:{_PARAMETERS}')

  def encode(self, frames: Iterable[frames_lib.Frame], qp: int,
             filters: str) -> Iterator[base.Coded]:
    """Codes frames of one format; see `base.Codec`."""
    base.check(filters, qp)
    # A context for each frame: frames share nothing in an all-intra stream,
    # and so neither the length of a video nor a stop in it changes a frame.
    for frame in frames:
      packets = self._encode(frame, qp, sao=filters == 'all')
      reconstruction = _decode(packets, frame.format,
                               unfiltered=filters == 'none')
      yield base.Coded(reconstruction, 8 * sum(map(len, packets)))

  def _encode(self, frame, qp, *, sao):
    layout = frame.format
    context = av.CodecContext.create('libx265', 'w')
    context.width, context.height = layout.width, layout.height
    context.pix_fmt = _pixel_format(layout)
    context.time_base = fractions.Fraction(1, 25)
    context.framerate = fractions.Fraction(25)
    context.options = {
        'preset': self._preset, 'tune': 'psnr',
        'x265-params': f'qp={qp}:{_PARAMETERS}' + ('' if sao else ':no-sao=1')}
    picture = _to_picture(frame, context.pix_fmt)
    try:
      return [bytes(packet) for packet in
              [*context.encode(picture), *context.encode(None)]]
    except av.FFmpegError as error:
      raise errors.InputError(
          f'x265: cannot code {layout.width}x{layout.height} at QP {qp} '
          f'({error}); expected at least 32x32 samples') from error


def _to_picture(frame, pixel_format):
  layout = frame.format
  picture = av.VideoFrame(layout.width, layout.height, pixel_format)
  picture.pts = 0
  for source, target in zip(frame.planes, picture.planes):
    rows = np.frombuffer(target, np.uint8).reshape(source.shape[0], -1)
    samples = np.ascontiguousarray(source).view(np.uint8)
    rows = rows.copy()
    rows[:, :samples.shape[1]] = samples
    target.update(rows)
  return picture


def _decode(packets, layout, *, unfiltered):
  context = av.CodecContext.create('hevc', 'r')
  context.thread_count = 1
  if unfiltered:
    context.options = {'skip_loop_filter': 'all'}
  pictures = []
  for packet in packets:
    pictures += context.decode(av.Packet(packet))
  pictures += context.decode(None)
  if len(pictures) != 1 or (pictures[0].width, pictures[0].height) != (
      layout.width, layout.height):
    sizes = ', '.join(f'{p.width}x{p.height}' for p in pictures) or 'nothing'
    raise errors.InputError(
        f'x265: its stream decodes to {sizes}, expected one frame of '
        f'{layout.width}x{layout.height}')
  return av_frames.to_frame(pictures[0], layout)
