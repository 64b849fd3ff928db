"""An evaluation to look at: rate-distortion curves and enlarged crops."""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib

import matplotlib.backends.backend_agg
import matplotlib.figure
import numpy as np

from cnn_loopfilter import atomic_file
from cnn_loopfilter import evaluation
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import pictures


def _save(figure, path):
  matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
  with atomic_file.replacing(path) as stream:
    figure.savefig(stream, format='png', dpi=100)


def rate_curves(path: pathlib.Path,
                result: evaluation.SequenceResult) -> None:
  """Draws PSNR over bits of a frame, one panel for each component."""
  components = len(next(iter(result.points['none'].values())).psnr)
  figure = matplotlib.figure.Figure(
      figsize=(4.5 * components, 4), layout='constrained')
  for number, axes in enumerate(
      np.atleast_1d(figure.subplots(1, components))):
    for state, points in result.points.items():
      ordered = sorted(points.values(), key=lambda point: point.bits)
      axes.plot([point.bits / result.frames / 1000 for point in ordered],
                [point.psnr[number] for point in ordered], '.-', label=state)
    axes.set(title=frames_lib.COMPONENTS[number], ylabel='PSNR (dB)',
             xlabel='kbit a frame')
    axes.grid(alpha=0.3)
  axes.legend()
  figure.suptitle(result.name)
  _save(figure, path)


def crops(path: pathlib.Path, frames: Mapping[str, frames_lib.Frame],
          size: int = 96) -> None:
  """Draws the same crop of several frames, where the second errs most.

  Args:
    path: PNG to write.
    frames: by name, the original first and the unfiltered second.
    size: edge of the crop in luma samples, even.
  """
  original, coded = list(frames.values())[:2]
  y, x = _worst(original.planes[0], coded.planes[0], size)
  figure = matplotlib.figure.Figure(figsize=(3 * len(frames), 3.3),
                                    layout='constrained')
  for axes, (name, frame) in zip(
      np.atleast_1d(figure.subplots(1, len(frames))), frames.items()):
    axes.imshow(pictures.to_rgb(frame)[y:y + size, x:x + size],
                interpolation='nearest')
    axes.set(title=name, xticks=[], yticks=[])
  _save(figure, path)


def _worst(original, coded, size):
  """Upper left corner of the grid's block with the largest error."""
  error = np.abs(original.astype(np.int32) - coded)
  corners = [(y, x)
             for y in range(0, max(1, original.shape[0] - size + 1), size // 2)
             for x in range(0, max(1, original.shape[1] - size + 1), size // 2)]
  return max(corners, key=lambda c: error[c[0]:c[0] + size,
                                          c[1]:c[1] + size].sum())


def write(folder: pathlib.Path,
          results: Sequence[evaluation.SequenceResult]) -> None:
  """Writes rd-NAME.png for each sequence."""
  for result in results:
    rate_curves(folder / f'rd-{result.name}.png', result)
