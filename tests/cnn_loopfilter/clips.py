"""Small moving pictures, and streams and files of them."""

import fractions

import av
import numpy as np

from cnn_loopfilter import frame_files
from cnn_loopfilter import frames

X265 = 'qp={}:keyint=1:ipratio=1.0:bframes=0:info=0:log-level=none'


def frame(layout, number=0):
  """Waves that move on with the number, an edge, and noise right of it."""
  random = np.random.default_rng(number)
  planes = []
  for component, (height, width) in enumerate(layout.plane_shapes):
    y, x = np.mgrid[:height, :width]
    noise = random.normal(0, 5, (height, width))
    plane = (110 + 50 * np.sin((x + 3 * number) / (3 + component) + y / 7)
             + (40 + noise) * (x > width // 2))
    planes.append(np.clip(plane * 2 ** (layout.depth - 8), 0,
                          2 ** layout.depth - 1).astype(
                              frames.sample_dtype(layout.depth)))
  return frames.Frame(tuple(planes), layout)


def write_y4m(path, layout, count, first=0, words=None):
  """Writes frames `first` and on as Y4M; returns the path."""
  with open(path, 'wb') as stream:
    frame_files.write_y4m(
        stream, (frame(layout, first + n) for n in range(count)), words)
  return path


def write_stream(path, layout, count, codec='libx264', *, full=False,
                 **options):
  """Codes frames into a container or raw stream; returns the path."""
  depth = '' if layout.depth == 8 else f'{layout.depth}le'
  name = ('gray' if layout.chroma == '400' else f'yuv{layout.chroma}p') + depth
  with av.open(str(path), 'w') as container:
    stream = container.add_stream(codec, rate=fractions.Fraction(30000, 1001),
                                  options=options)
    stream.width, stream.height = layout.width, layout.height
    stream.pix_fmt = name
    stream.codec_context.color_range = 2 if full else 1
    for number in range(count):
      one = frame(layout, number)
      picture = av.VideoFrame(layout.width, layout.height, name)
      for plane, target in zip(one.planes, picture.planes):
        rows = np.zeros((plane.shape[0], target.line_size), np.uint8)
        samples = plane.view(np.uint8)
        rows[:, :samples.shape[1]] = samples
        target.update(rows)
      picture.pts = number
      picture.color_range = 2 if full else 1
      container.mux(stream.encode(picture))
    container.mux(stream.encode(None))
  return path
