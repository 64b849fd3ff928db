"""Turns volumes so that their axes run to the right, the front and the top.

A turn swaps and reverses axes of the array; no voxel changes its place.
"""

import dataclasses

from nibabel import orientations as nibabel_orientations
import numpy as np

from mtf_unet import volumes


def canonical(affine: np.ndarray) -> np.ndarray:
  """Returns [3, 2]: for each array axis its canonical axis and its sign.

  Canonical: x to the right, y to the front, z to the top (RAS+), each by the
  array axis that lies closest to it. The result is an `ornt` of nibabel.
  """
  return nibabel_orientations.io_orientation(affine).astype(int)


def to_canonical(volume: volumes.Volume) -> tuple[volumes.Volume, np.ndarray]:
  """Turns a volume so that x runs right, y front, z top.

  Args:
    volume: in any orientation; oblique ones go to the closest axes.

  Returns:
    (the turned volume, the [3, 2] orientation that `from_canonical` undoes).
  """
  orientation = canonical(volume.affine)
  array = turned(volume.array, orientation)
  affine = volume.affine @ nibabel_orientations.inv_ornt_aff(
      orientation, volume.array.shape[:3])
  return dataclasses.replace(volume, array=array, affine=affine), orientation


def turned(array: np.ndarray, orientation: np.ndarray) -> np.ndarray:
  """Turns [x, y, z] or [x, y, z, channels] to canonical orientation."""
  return nibabel_orientations.apply_orientation(array, orientation)


def turned_like(volume: volumes.Volume, like: volumes.Volume) -> volumes.Volume:
  """Turns a volume so that its axes run as those of another one.

  Programs store the same grid with its axes turned: the label map of a DICOM
  series often has its rows the other way round. No voxel changes its place.
  """
  turn = nibabel_orientations.ornt_transform(
      canonical(volume.affine), canonical(like.affine))
  affine = volume.affine @ nibabel_orientations.inv_ornt_aff(
      turn, volume.array.shape[:3])
  return dataclasses.replace(
      volume, array=nibabel_orientations.apply_orientation(volume.array, turn),
      affine=affine)


def from_canonical(array: np.ndarray, orientation: np.ndarray) -> np.ndarray:
  """Turns a canonical array back to the file's own orientation.

  Args:
    array: [x, y, z] or [x, y, z, channels], canonical.
    orientation: from `to_canonical`.

  Returns:
    The array with the file's own axes.
  """
  back = nibabel_orientations.ornt_transform(
      np.array([[0, 1], [1, 1], [2, 1]]), orientation)
  return nibabel_orientations.apply_orientation(array, back)
