"""An evaluation to look at: rate-distortion curves and enlarged crops."""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib

import matplotlib.backends.backend_agg
import matplotlib.figure
import numpy as np

from cnn_loopfilter import atomic_file
from cnn_loopfilter import comparison
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
  points = next(iter(result.points.values()))
  components = len(next(iter(points.values())).psnr)
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


def gain_by_work(path: pathlib.Path, report: comparison.Report) -> None:
  """Draws the filters' average BD-rates over their kMAC for a luma pixel.

  Args:
    path: PNG to write.
    report: its main codec's filters that have a size are drawn, against the
      codec's own filters (or against none, where it has none).
  """
  run = report.runs[0]
  against = run.pairs()[0][1]
  kmac = sorted(report.kmac_per_pixel.items(), key=lambda item: item[1])
  rates = [run.select(name, against)['psnr'][-1].percent for name, _ in kmac]
  figure = matplotlib.figure.Figure(figsize=(6, 4), layout='constrained')
  axes = figure.subplots()
  for component, line in zip(frames_lib.COMPONENTS, zip(*rates)):
    axes.plot([work for _, work in kmac],
              [np.nan if rate is None else rate for rate in line], 'o-',
              label=component)
  for (name, work), (luma, *_) in zip(kmac, rates):
    if luma is not None:
      axes.annotate(name, (work, luma), xytext=(4, 6),
                    textcoords='offset points')
  axes.margins(0.12)
  axes.set(xscale='log', xlabel='kMAC for a luma pixel, chroma included',
           ylabel='BD-rate (%)', title=f'{run.codec}, against its own filters'
           if against == evaluation.ANCHOR else f'{run.codec}, against none')
  axes.set_xticks([work for _, work in kmac], [f'{work:.3g}'
                                               for _, work in kmac])
  axes.minorticks_off()
  axes.grid(alpha=0.3)
  axes.legend()
  _save(figure, path)


def average(results: Sequence[evaluation.SequenceResult]
            ) -> evaluation.SequenceResult:
  """Returns the mean over sequences: bits of a frame, PSNR of a component."""
  first = results[0]
  return evaluation.SequenceResult(evaluation.AVERAGE, '', 1, {
      state: {qp: _mean_point([(one.points[state][qp], one.frames)
                               for one in results]) for qp in points}
      for state, points in first.points.items()})


def _mean_point(points):
  bits = sum(point.bits / frames for point, frames in points) / len(points)
  # Sequences without chroma leave luma alone.
  components = min(len(point.psnr) for point, _ in points)
  psnr = np.mean([point.psnr[:components] for point, _ in points], 0)
  return evaluation.Point(round(bits), tuple(map(float, psnr)))


def cut(frames: Mapping[str, frames_lib.Frame],
        size: int) -> dict[str, np.ndarray]:
  """Cuts the same square out of several frames, where the second errs most.

  Args:
    frames: by name, the original first and the unfiltered second.
    size: edge of the square in luma samples, even; less in a smaller frame.

  Returns:
    uint8 [height, width, 3] RGB by name.
  """
  original, coded = list(frames.values())[:2]
  y, x = _worst(original.planes[0], coded.planes[0], size)
  return {name: pictures.to_rgb(frame)[y:y + size, x:x + size]
          for name, frame in frames.items()}


def crops(path: pathlib.Path, cuts: Mapping[str, np.ndarray]) -> None:
  """Draws what `cut` returns as a PNG, side by side."""
  figure = matplotlib.figure.Figure(figsize=(3 * len(cuts), 3.3),
                                    layout='constrained')
  for axes, (name, picture) in zip(
      np.atleast_1d(figure.subplots(1, len(cuts))), cuts.items()):
    axes.imshow(picture, interpolation='nearest')
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
          results: Sequence[evaluation.SequenceResult]
          ) -> dict[str, pathlib.Path]:
  """Writes rd-NAME.png for the average of sequences and for each of them.

  Returns:
    The files by the sequences' names.
  """
  paths = {}
  for result in [average(results), *results]:
    paths[result.name] = folder / f'rd-{result.name}.png'
    rate_curves(paths[result.name], result)
  return paths
