"""Coded videos through PyAV: pictures, their QPs, and what they are.

An HEVC stream whose pictures are all intra random access points is decoded
without its loop filters: HEVC predicts intra pictures from samples before
them, so a filter behind this decoder does what it would do inside the loop.
Pictures of other streams are predicted from filtered ones; they are decoded as
they are. QPs come from FFmpeg's side data `AVVideoEncParams`
(libavutil/video_enc_params.h), which its H.264 decoder fills; its VP9 and
MPEG-2 decoders tell quantizers on other scales, which are not used. Its HEVC
decoder tells none; those of all-intra streams are read from slice headers.
"""

import collections
from collections.abc import Iterator
import contextlib
import pathlib

import av
import numpy as np

from cnn_loopfilter import errors
from cnn_loopfilter import frame_files
from cnn_loopfilter import hevc_headers
from cnn_loopfilter import video
from cnn_loopfilter.codec import av_frames

_IN_THE_LOOP = ('HEVC, all intra: decoded without its own loop filters; the '
                'filter is exactly in the loop')
_BEHIND = ('{}, not all-intra HEVC: a filter behind the decoder, whose own '
           'filters stay on; no picture is predicted from a filtered one')
_BY_SLICES = ("the slice headers' (what an encoder changes from block to block "
              'is not seen)')
_BY_BLOCKS = "the decoder's side data, macroblock by macroblock"
# FFmpeg: limited and full.
_RANGES = {1: ('XCOLORRANGE=LIMITED',), 2: ('XCOLORRANGE=FULL',)}
_QPS = av.sidedata.sidedata.Type.VIDEO_ENC_PARAMS
# AVVideoEncParamsType; its QPs are HEVC's plus 6 for each bit above 8.
_H264 = 1
_LARGEST_QP = 51


def open_stream(path: pathlib.Path) -> video.Video:
  """Opens the first video stream of a file.

  Raises:
    InputError: if PyAV cannot read it, or its pictures are interlaced or of a
      format that frames cannot hold.
  """
  count, intra, codec, rate, aspect = _look_through(path)
  first, qps = next(_pictures(path, intra), (None, None))
  if first is None:
    raise errors.InputError(f'{path}: no picture can be decoded')
  layout = _format(first, path)
  words = frame_files.default_y4m_words(layout, rate, aspect)

  def read():
    for number, (picture, qps) in enumerate(_pictures(path, intra)):
      _check(picture, layout, f'{path}, frame {number}', intra)
      yield video.Picture(av_frames.to_frame(picture, layout), qps)

  source = _BY_SLICES if intra else _BY_BLOCKS
  return video.Video(
      str(path), layout, count, read,
      words + _RANGES.get(int(first.color_range), ()),
      '' if qps is None else source,
      _IN_THE_LOOP if intra else _BEHIND.format(codec))


@contextlib.contextmanager
def _told(path):
  """Turns FFmpeg's errors into one line."""
  try:
    yield
  except av.FFmpegError as error:
    raise errors.InputError(
        f'{path}: cannot be read or decoded ({error.strerror})') from error


def _first_stream(container, path):
  if not container.streams.video:
    raise errors.InputError(f'{path}: has no video, expected a video stream')
  return container.streams.video[0]


def _look_through(path):
  """Goes through all packets without decoding them.

  Returns:
    Their count; whether this is all-intra HEVC; the codec's name; the rate and
    the aspect of a sample as pairs.
  """
  with _told(path), av.open(str(path)) as container:
    stream = _first_stream(container, path)
    count, intra = 0, stream.codec_context.name == 'hevc'
    for packet in container.demux(stream):
      if packet.size:
        count, intra = count + 1, intra and packet.is_keyframe
    rate = stream.average_rate or stream.guessed_rate or 25
    aspect = stream.sample_aspect_ratio or 1
    return (count, intra, stream.codec_context.codec.name,
            rate.as_integer_ratio(), aspect.as_integer_ratio())


def _pictures(path, intra) -> Iterator[
    tuple[av.VideoFrame, np.ndarray | None]]:
  """Yields each picture with the QPs of its macroblocks, or None."""
  with _told(path), av.open(str(path)) as container:
    stream = _first_stream(container, path)
    # Damage that the decoder notices shall be an error, not a patch.
    stream.codec_context.options = {
        'export_side_data': 'venc_params', 'err_detect': 'explode'} | (
            {'skip_loop_filter': 'all'} if intra else {})
    if not intra:
      for picture in container.decode(stream):
        yield picture, _told_qps(picture)
      return
    # Start codes and parameter sets inside, whatever the container does.
    start_codes = av.bitstream.BitStreamFilterContext(
        'hevc_mp4toannexb', stream)
    headers, waiting = hevc_headers.Headers(), collections.deque()
    for packet in container.demux(stream):
      pictures = packet.decode()
      waiting += [headers.qp_of(bytes(unit)) for unit in (
          start_codes.filter(packet) if packet.size else ())]
      # Intra random access pictures come out in the order they went in.
      for picture in pictures:
        yield picture, _slice_qps(
            picture, waiting.popleft() if waiting else None)


def _format(picture, name):
  try:
    return av_frames.format_of(picture)
  except errors.InputError as error:
    raise errors.InputError(f'{name}: {error}') from error


def _check(picture, layout, name, intra):
  found = _format(picture, name)
  if found != layout:
    raise errors.InputError(f'{name}: got {found} after {layout}, expected '
                            'one format')
  if picture.interlaced_frame:
    raise errors.InputError(
        f'{name}: got an interlaced picture, expected progressive ones')
  if picture.is_corrupt:
    raise errors.InputError(
        f'{name}: the decoder calls it damaged, expected a whole stream')
  if intra and not picture.key_frame:
    raise errors.InputError(
        f'{name}: is predicted from others, though the file calls all its '
        'pictures key frames')


def _told_qps(picture):
  """Returns the macroblocks' QPs by the decoder's side data, or None."""
  told = [data for data in picture.side_data if data.type == _QPS]
  if not told or int(told[0].codec_type) != _H264 or not told[0].nb_blocks:
    return None
  bits = picture.format.components[0].bits
  return np.clip(told[0].qp_map() - 6 * (bits - 8), 0, _LARGEST_QP)


def _slice_qps(picture, qp):
  """Returns one QP for all macroblocks; None stays None."""
  if qp is None:
    return None
  rows, columns = -(-picture.height // 16), -(-picture.width // 16)
  # Below 0 in samples of more than 8 bits; the filters know 0 and up.
  return np.full((rows, columns), max(0, qp))
