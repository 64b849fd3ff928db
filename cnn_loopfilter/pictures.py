"""RGB pictures to and from 8-bit frames.

BT.601 in studio range (Y 16 .. 235, chroma 16 .. 240) by ffmpeg's own scaler,
since that is what codec engineers feed an encoder with
(`ffmpeg -i picture.png -pix_fmt yuv420p`), and BD-rates of chroma move by a
tenth with the filter that halves it. The file's own colour profile is not
looked at.
"""

from collections.abc import Iterator
import pathlib

import av
import numpy as np
import PIL.Image

from cnn_loopfilter import errors
from cnn_loopfilter import frames

# Rows Y, U, V of BT.601 for R, G, B in 0 .. 1, in steps of 8-bit samples.
_LUMA = np.array([0.299, 0.587, 0.114])
_MATRIX = np.stack([
    219 * _LUMA,
    224 * (np.array([0, 0, 1]) - _LUMA) / (2 * (1 - _LUMA[2])),
    224 * (np.array([1, 0, 0]) - _LUMA) / (2 * (1 - _LUMA[0]))])
_OFFSET = np.array([16.0, 128.0, 128.0])


def from_rgb(rgb: np.ndarray) -> frames.Frame:
  """Turns a picture into an 8-bit 4:2:0 frame.

  An odd last row or column is left out: a codec's 4:2:0 has none.

  Args:
    rgb: uint8 [height, width, 3], 2x2 at least.

  Raises:
    InputError: if the picture is smaller.
  """
  height, width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
  if not height or not width:
    raise errors.InputError(f'picture: got {rgb.shape[1]}x{rgb.shape[0]}, '
                            'expected 2x2 or more')
  picture = av.VideoFrame.from_ndarray(
      np.ascontiguousarray(rgb[:height, :width]), format='rgb24')
  planes = picture.reformat(format='yuv420p').to_ndarray()
  return frames.frame_from_bytes(planes.tobytes(),
                                 frames.Format(width, height))


def to_rgb(frame: frames.Frame) -> np.ndarray:
  """Returns uint8 [height, width, 3] to look at; chroma is repeated."""
  planes = [plane / 2.0 ** (frame.format.depth - 8) for plane in frame.planes]
  if len(planes) == 1:
    planes += [np.full_like(planes[0], 128)] * 2
  height, width = planes[0].shape
  rows, columns = frames.SUBSAMPLING[frame.format.chroma] or (1, 1)
  planes[1:] = [plane.repeat(rows, 0)[:height].repeat(columns, 1)[:, :width]
                for plane in planes[1:]]
  rgb = (np.stack(planes, -1) - _OFFSET) @ np.linalg.inv(_MATRIX).T
  return np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)


def from_array(name: str, rgb: np.ndarray) -> frames.Sequence:
  """Returns a picture in memory as a sequence of one frame."""
  frame = from_rgb(rgb)
  return frames.Sequence(name, frame.format, 1, lambda: iter([frame]))


def open_picture(path: pathlib.Path) -> frames.Sequence:
  """Opens a PNG or JPEG as a sequence of one frame.

  Raises:
    InputError: if pillow cannot read the file, or it is below 2x2.
  """
  def read() -> Iterator[frames.Frame]:
    yield from_rgb(_load(path))

  try:
    with PIL.Image.open(path) as picture:
      width, height = picture.size
    layout = frames.Format(width // 2 * 2, height // 2 * 2)
  except (OSError, errors.InputError) as error:
    raise errors.InputError(f'{path}: no picture that can be read, or below '
                            f'2x2 ({error})') from error
  return frames.Sequence(path.stem, layout, 1, read)


def _load(path):
  try:
    with PIL.Image.open(path) as picture:
      return np.asarray(picture.convert('RGB'))
  except (OSError, ValueError, SyntaxError) as error:
    raise errors.InputError(f'{path}: {error}') from error
