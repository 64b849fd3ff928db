"""What filters cost: multiplications for a luma pixel."""

from collections.abc import Sequence
import pathlib
import re

from cnn_loopfilter import frames as frames_lib


def kmac_per_pixel(words: Sequence[str], layout: frames_lib.Format
                   ) -> dict[str, float]:
  """Returns thousands of multiply-adds for a luma pixel, by filter.

  Every component is filtered by itself, so chroma adds its share of samples
  (a half for 4:2:0).

  Args:
    words: [NAME=]PATH of --filter, already loaded once. Of a filter for each
      QP the largest counts.
    layout: of the frames.
  """
  samples = sum(height * width for height, width in layout.plane_shapes)
  share = samples / (layout.width * layout.height) / 1000
  sizes = {}
  for word in words:
    name, _, path = word.rpartition('=')
    paths = [re.sub(r'^[0-9]{1,2}:', '', one) for one in path.split('+')]
    sizes[name or pathlib.Path(path).stem] = share * max(map(_macs, paths))
  return sizes


def _macs(path):
  path = pathlib.Path(path)
  if path.is_dir():
    from cnn_loopfilter import artefact
    return artefact.load(path).macs_per_sample
  from cnn_loopfilter import float_filter
  return float_filter.load(path).macs_per_sample
