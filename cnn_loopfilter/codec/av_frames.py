"""Pictures of PyAV as frames."""

import av
import numpy as np

from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib

# FFmpeg's names of planar pixel formats that frames can hold; yuvj is its old
# name of full range.
_DEPTH_AND_CHROMA = {
    f'{family}{chroma}p{"" if depth == 8 else f"{depth}le"}': (depth, chroma)
    for family in ('yuv', 'yuvj') for chroma in ('420', '422', '444')
    for depth in frames_lib.DEPTHS if family == 'yuv' or depth == 8}
_DEPTH_AND_CHROMA |= {
    f'gray{"" if depth == 8 else f"{depth}le"}': (depth, '400')
    for depth in frames_lib.DEPTHS}


def format_of(picture: av.VideoFrame) -> frames_lib.Format:
  """Returns size, depth and chroma of a decoded picture.

  Raises:
    InputError: for a pixel format that is not planar Y, U, V or Y alone.
  """
  name = picture.format.name
  if name not in _DEPTH_AND_CHROMA:
    raise errors.InputError(
        f'got pictures of pixel format {name}, expected planar 4:0:0, 4:2:0, '
        '4:2:2 or 4:4:4 of 8, 10 or 12 bits')
  return frames_lib.Format(picture.width, picture.height,
                           *_DEPTH_AND_CHROMA[name])


def to_frame(picture: av.VideoFrame,
             layout: frames_lib.Format) -> frames_lib.Frame:
  """Copies the planes of a decoded picture of that format."""
  dtype = frames_lib.sample_dtype(layout.depth)
  planes = []
  for plane, (height, width) in zip(picture.planes, layout.plane_shapes):
    # The decoder's rows are longer than the picture's.
    rows = np.frombuffer(plane, np.uint8)[:height * plane.line_size].reshape(
        height, plane.line_size)
    planes.append(np.ascontiguousarray(
        rows[:, :width * dtype.itemsize]).view(dtype))
  return frames_lib.Frame(tuple(planes), layout)
