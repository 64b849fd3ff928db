"""What the headers of a coded stream say, by FFmpeg's own reader of them."""

from collections.abc import Sequence
import io
import re

import av
import av.bitstream
import av.logging


def read(packets: Sequence[bytes], encoder: str, container: str
         ) -> dict[str, int]:
  """Returns the last value of each syntax element by its name.

  Args:
    packets: of one frame.
    encoder: FFmpeg's name of an encoder of that codec.
    container: FFmpeg's name of a format that holds it.
  """
  output = av.open(io.BytesIO(), 'w', format=container)
  stream = output.add_stream(encoder, rate=25)
  stream.width, stream.height, stream.pix_fmt = 64, 64, 'yuv420p'
  av.logging.set_level(av.logging.INFO)
  try:
    with av.logging.Capture() as lines:
      reader = av.bitstream.BitStreamFilterContext('trace_headers', stream)
      for packet in packets:
        reader.filter(av.Packet(packet))
  finally:
    av.logging.set_level(None)
  return {key: int(value) for key, value in re.findall(
      r'^\d+ +(\S+) +\S+ = (-?\d+)$', ''.join(line[2] for line in lines),
      re.MULTILINE)}
