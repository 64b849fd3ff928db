"""Small frames that make a codec block and ring."""

import numpy as np

from cnn_loopfilter import frames
from cnn_loopfilter import pictures
from cnn_loopfilter.codec import base


def frame(width: int = 64, height: int = 48, depth: int = 8) -> frames.Frame:
  """Returns smooth waves and an edge, 4:2:0."""
  y, x = np.mgrid[:height, :width]
  picture = np.stack([128 + 90 * np.sin(x / 5 + y / 9 + c)
                      * (x > width // 3) for c in range(3)], -1)
  made = pictures.from_rgb(picture.astype(np.uint8))
  if depth == 8:
    return made
  return frames.Frame(
      tuple(plane.astype('<u2') << (depth - 8) for plane in made.planes),
      frames.Format(width, height, depth))


def equal(first: base.Coded, second: base.Coded) -> bool:
  """Tells whether two reconstructions are the same."""
  return all(np.array_equal(a, b) for a, b in
             zip(first.reconstruction.planes, second.reconstruction.planes))
