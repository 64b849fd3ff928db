"""A picture of a segmentation: three orthogonal slices with contours."""

import io
import os

from matplotlib import figure
from matplotlib import lines
from matplotlib import patheffects
from matplotlib.backends import backend_agg
import numpy as np

from mtf_unet import atomic_file
from mtf_unet import orientations
from mtf_unet import volumes

# Okabe and Ito's colours, told apart by colour-blind readers too.
_COLORS = ('#E69F00', '#56B4E9', '#009E73', '#F0E442', '#D55E00', '#CC79A7',
           '#0072B2')
# (plane, axis that is cut, axis to the right, axis upward).
_PLANES = (('sagittal', 0, 1, 2), ('coronal', 1, 0, 2), ('axial', 2, 0, 1))
_LETTERS = (('L', 'R'), ('P', 'A'), ('I', 'S'))
_PIXELS_PER_INCH = 120


def write_overlay(path: str | os.PathLike, image: volumes.Volume,
                  label: np.ndarray, **keywords) -> None:
  """Writes what `draw` returns, under a temporary name first."""
  picture = draw(image, label, **keywords)
  with atomic_file.replacing(path) as stream:
    stream.write(picture)


def draw(image: volumes.Volume, label: np.ndarray, *, num_classes: int,
         truth: np.ndarray | None = None, title: str = '') -> bytes:
  """Draws the slices with the largest labelled areas.

  Drawn in mm, so anisotropic voxels keep their proportions; the patient's
  left is on the left. The grey window spans the 1st to 99th percentile.

  Args:
    image: the scan in its file's orientation; its first channel is shown.
    label: uint8 [x, y, z] on the scan's grid, drawn as lines over a tint.
    num_classes: number of classes, the background included.
    truth: drawn as dashed white lines where given, like `label`.
    title: a line above the picture.

  Returns:
    A PNG file.
  """
  canonical, orientation = orientations.to_canonical(image)
  spacing_mm = volumes.spacing_mm(canonical.affine)
  voxels = canonical.array
  if voxels.ndim == 4:
    voxels = voxels[..., 0]
  label, truth = (
      None if array is None else orientations.turned(array, orientation)
      for array in (label, truth))
  cuts = central_slices(label if label.any() or truth is None else truth)
  window = np.percentile(voxels, (1, 99))
  sheet = figure.Figure(figsize=(12, 4.6), dpi=_PIXELS_PER_INCH,
                        facecolor='black', layout='constrained')
  backend_agg.FigureCanvasAgg(sheet)
  for axes, plane in zip(sheet.subplots(1, 3), _PLANES):
    _draw_plane(axes, plane, cuts, spacing_mm, window, voxels=voxels,
                label=label, truth=truth, num_classes=num_classes)
  if title:
    # A name may hold dollars, which are no formula.
    sheet.suptitle(title, color='white', parse_math=False)
  sheet.legend(handles=_legend(num_classes, truth is not None),
               loc='outside lower center', ncols=8, frameon=False,
               labelcolor='white')
  picture = io.BytesIO()
  sheet.savefig(picture, format='png', metadata={'Software': None})
  return picture.getvalue()


def central_slices(label: np.ndarray) -> tuple[int, int, int]:
  """Returns along each axis the slice with the largest labelled area.

  Args:
    label: [x, y, z]; without a labelled voxel the middle slices are taken.
  """
  if not label.any():
    return tuple(n // 2 for n in label.shape)
  return tuple(
      int(np.argmax(np.count_nonzero(
          label, axis=tuple(other for other in range(3) if other != axis))))
      for axis in range(3))


def _draw_plane(axes, plane, cuts, spacing_mm, window, *, voxels, label, truth,
                num_classes):
  name, cut, right, up = plane
  extent = (0, voxels.shape[right] * spacing_mm[right],
            0, voxels.shape[up] * spacing_mm[up])
  # Rows of a picture are the upward axis; `right` is always before `up`.
  flat = [None if array is None else np.take(array, cuts[cut], axis=cut).T
          for array in (voxels, label, truth)]
  axes.imshow(flat[0], cmap='gray', vmin=window[0],
              vmax=max(window[1], window[0] + 1e-6), origin='lower',
              extent=extent, interpolation='nearest')
  tint = np.zeros(flat[1].shape + (4,))
  for index in range(1, num_classes):
    color = _color(index)
    tint[flat[1] == index] = _rgba(color, 0.25)
    _contour(axes, flat[1] == index, extent, color, 'solid')
    if truth is not None:
      _contour(axes, flat[2] == index, extent, 'white', 'dashed')
  axes.imshow(tint, origin='lower', extent=extent, interpolation='nearest')
  axes.set_xlim(extent[:2])
  axes.set_ylim(extent[2:])
  axes.set_axis_off()
  axes.set_title(f'{name}, slice {cuts[cut] + 1} of {voxels.shape[cut]}',
                 color='white', fontsize=10)
  places = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.02), (0.5, 0.98))
  letters = _LETTERS[right] + _LETTERS[up]
  for (x, y), letter in zip(places, letters):
    axes.text(x, y, letter, transform=axes.transAxes, color='white',
              ha='center', va='center', fontsize=11, path_effects=[
                  patheffects.withStroke(linewidth=2, foreground='black')])


def _contour(axes, mask, extent, color, style):
  if not mask.any():
    return
  # A margin closes the lines of masks that touch the border.
  mask = np.pad(mask, 1).astype(float)
  rows, columns = mask.shape
  step_x = (extent[1] - extent[0]) / (columns - 2)
  step_y = (extent[3] - extent[2]) / (rows - 2)
  axes.contour((np.arange(columns) - 0.5) * step_x,
               (np.arange(rows) - 0.5) * step_y, mask, levels=[0.5],
               colors=[color], linewidths=1.2, linestyles=style)


def _legend(num_classes, with_truth):
  handles = [lines.Line2D([], [], color=_color(index), label=f'class {index}')
             for index in range(1, num_classes)]
  if with_truth:
    handles.append(lines.Line2D([], [], color='white', linestyle='dashed',
                                label='truth'))
  return handles


def _color(index):
  return _COLORS[(index - 1) % len(_COLORS)]


def _rgba(color, alpha):
  return [int(color[i:i + 2], 16) / 255 for i in (1, 3, 5)] + [alpha]
