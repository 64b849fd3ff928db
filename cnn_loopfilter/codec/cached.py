"""Keeps what a codec made on disk, so that no frame is coded twice."""

from collections.abc import Iterable
from collections.abc import Iterator
import hashlib
import pathlib
import zlib

from cnn_loopfilter import atomic_file
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter.codec import base


class Cached:
  """A `base.Codec` that looks into a folder before it codes.

  A coding is found again by the codec's description, the frame's samples, the
  QP and the filters; a file that cannot be read is made anew.

  Args:
    codec: codes what is not there yet.
    folder: made where missing.
  """

  def __init__(self, codec: base.Codec, folder: str | pathlib.Path):
    self._codec, self._folder = codec, pathlib.Path(folder)
    self.label, self.description = codec.label, codec.description
    self.filters = codec.filters

  def encode(self, frames: Iterable[frames_lib.Frame], qp: int,
             filters: str) -> Iterator[base.Coded]:
    """Codes frames of one format; see `base.Codec`."""
    base.check(filters, qp, largest_qp=63)
    for frame in frames:
      path = self._folder / self._name(frame, qp, filters)
      coded = _read(path, frame.format)
      if coded is None:
        # One frame at a time: an all-intra stream's frames share nothing.
        coded = next(self._codec.encode([frame], qp, filters))
        with atomic_file.replacing(path) as stream:
          stream.write(_pack(coded))
      yield coded

  def _name(self, frame, qp, filters):
    key = hashlib.sha256(repr((self.description, frame.format, qp,
                               filters)).encode())
    key.update(frame.to_bytes())
    return f'{key.hexdigest()[:32]}.coding'


def _pack(coded):
  """Bits in 8 bytes, then zlib of the planes, which checks itself."""
  return coded.bits.to_bytes(8, 'little') + zlib.compress(
      coded.reconstruction.to_bytes(), 1)


def _read(path, layout):
  try:
    data = path.read_bytes()
    planes = zlib.decompress(data[8:])
  except (FileNotFoundError, zlib.error):
    return None
  if len(planes) != layout.frame_bytes:
    return None
  return base.Coded(frames_lib.frame_from_bytes(planes, layout),
                    int.from_bytes(data[:8], 'little'))
