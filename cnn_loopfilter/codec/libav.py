"""What the codecs of PyAV share: one frame to packets and back to a frame."""

from collections.abc import Mapping
from collections.abc import Sequence
import fractions

import av
import numpy as np

from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter.codec import av_frames


def version(encoder: str, decoder: str) -> str:
  """Describes this build of PyAV.

  Raises:
    InputError: if it lacks the encoder or the decoder.
  """
  library = '.'.join(map(str, av.library_versions['libavcodec']))
  build = f'PyAV {av.__version__} (libavcodec {library})'
  for name in (encoder, decoder):
    if name not in av.codecs_available:
      raise errors.InputError(f'codec: this {build} has no {name}, expected a '
                              'build with it, as the wheels on PyPI are')
  return build


def pixel_format(name: str, layout: frames_lib.Format,
                 chromas: Sequence[str]) -> str:
  """Returns FFmpeg's name of a format of 8 or 10 bits.

  Args:
    name: of the codec, for messages.
    layout: of the frames.
    chromas: keys of `frames.SUBSAMPLING` that the codec takes.

  Raises:
    InputError: for another depth or chroma, or an odd size.
  """
  if layout.depth not in (8, 10):
    raise errors.InputError(
        f'{name}: got {layout.depth} bits, expected 8 or 10')
  if layout.chroma not in chromas:
    raise errors.InputError(f'{name}: got chroma {layout.chroma}, expected '
                            f'one of {", ".join(chromas)}')
  rows, columns = frames_lib.SUBSAMPLING[layout.chroma] or (1, 1)
  if layout.height % rows or layout.width % columns:
    raise errors.InputError(
        f'{name}: got {layout.width}x{layout.height}, expected multiples of '
        f'{columns}x{rows} for chroma {layout.chroma}')
  depth = '' if layout.depth == 8 else f'{layout.depth}le'
  if layout.chroma == '400':
    return f'gray{depth}'
  return f'yuv{layout.chroma}p{depth}'


def encode(encoder: str, frame: frames_lib.Frame, picture_format: str,
           options: Mapping[str, str]) -> list[bytes]:
  """Codes one frame by an encoder of its own.

  Args:
    encoder: FFmpeg's name.
    frame: to code.
    picture_format: of `pixel_format`.
    options: of the encoder.

  Raises:
    av.FFmpegError: if the encoder does not take it.
  """
  context = av.CodecContext.create(encoder, 'w')
  context.width, context.height = frame.format.width, frame.format.height
  context.pix_fmt = picture_format
  context.time_base = fractions.Fraction(1, 25)
  context.framerate = fractions.Fraction(25)
  context.options = dict(options)
  picture = _to_picture(frame, picture_format)
  return [bytes(packet) for packet in
          [*context.encode(picture), *context.encode(None)]]


def decode(decoder: str, packets: Sequence[bytes], layout: frames_lib.Format,
           *, unfiltered: bool = False) -> frames_lib.Frame:
  """Decodes the packets of one frame.

  Args:
    decoder: FFmpeg's name.
    packets: of `encode`.
    layout: of the frame that went in.
    unfiltered: leave the loop filters out (HEVC and H.264 decoders can).

  Raises:
    InputError: if not one frame of that size comes out.
  """
  context = av.CodecContext.create(decoder, 'r')
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
        f'codec: {decoder} decodes the stream to {sizes}, expected one frame '
        f'of {layout.width}x{layout.height}')
  return av_frames.to_frame(pictures[0], layout)


def _to_picture(frame, picture_format):
  layout = frame.format
  picture = av.VideoFrame(layout.width, layout.height, picture_format)
  picture.pts = 0
  for source, target in zip(frame.planes, picture.planes):
    rows = np.frombuffer(target, np.uint8).reshape(source.shape[0], -1)
    samples = np.ascontiguousarray(source).view(np.uint8)
    rows = rows.copy()
    rows[:, :samples.shape[1]] = samples
    target.update(rows)
  return picture
