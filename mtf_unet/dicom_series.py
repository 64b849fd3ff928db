"""A folder of DICOM slices to one volume (SimpleITK's GDCM).

The slices are ordered by where they lie in the patient, not by name or number;
the affine follows from the first and the last of them, so that the slices of a
tilted gantry keep their places. Rescale slope and intercept are applied to
each slice: CTs come in Hounsfield units.

Refused, each with one line that names the files: several series in one folder,
a slice that is missing or there twice, uneven gaps, slices of other sizes,
directions or voxel sizes, colour pictures, damaged files.
"""

from collections.abc import Sequence
import dataclasses
import os
import pathlib

import numpy as np
import SimpleITK as sitk

from mtf_unet import errors
from mtf_unet import itk_volumes
from mtf_unet import volumes

_MAGIC_PLACE, _MAGIC = 128, b'DICM'
_SUFFIXES = ('.dcm', '.ima')
_SERIES_UID, _SERIES_NAME = '0020|000e', '0008|103e'
# Part of the usual gap, or of a voxel, by which a slice may be off its place.
_TOLERANCE = 0.1


@dataclasses.dataclass(frozen=True)
class _Slice:
  """One file of a series."""
  path: pathlib.Path
  header: itk_volumes.Header
  series: str
  description: str

  @property
  def corner(self) -> np.ndarray:
    """Centre of the first voxel, mm."""
    return self.header.affine[:3, 3]

  @property
  def plane(self) -> np.ndarray:
    """[3, 2], steps in mm from a voxel to the next along x and y."""
    return self.header.affine[:3, :2]

  @property
  def normal(self) -> np.ndarray:
    """Direction across the slice, of length 1."""
    normal = np.cross(*self.plane.T)
    return normal / np.linalg.norm(normal)


def is_series(folder: str | os.PathLike) -> bool:
  """Whether a folder holds DICOM files, however they are called."""
  folder = pathlib.Path(folder)
  return folder.is_dir() and any(map(_is_dicom, _files(folder)))


def read(folder: str | os.PathLike) -> volumes.Volume:
  """Reads a series.

  Args:
    folder: with the files of one series; files of other formats are ignored.

  Returns:
    A Volume, float32 [x, y, z]: x along a slice's rows, z across the slices.

  Raises:
    InputError: as the module says.
  """
  folder = pathlib.Path(folder)
  slices = [_read_header(path) for path in _files(folder) if _is_dicom(path)]
  if not slices:
    raise errors.InputError(f'{folder}: no DICOM file, expected a series')
  _check_one_series(folder, slices)
  if len(slices) == 1:
    # A single slice, or a file that holds a whole volume.
    only, = slices
    return volumes.Volume(_voxels(only.path), only.header.affine, str(folder))
  slices = _in_order(slices)
  _check_alike(slices)
  _check_gaps(slices)
  first, last = slices[0], slices[-1]
  affine = first.header.affine.copy()
  affine[:3, 2] = (last.corner - first.corner) / (len(slices) - 1)
  _check_line(slices, affine)
  array = np.empty((*first.header.size[:2], len(slices)), np.float32)
  for z, one in enumerate(slices):
    array[:, :, z] = _voxels(one.path)[:, :, 0]
  return volumes.Volume(array, affine, str(folder))


def _files(folder):
  return sorted(path for path in folder.iterdir()
                if path.is_file() and not path.name.startswith('.')
                and path.name.upper() != 'DICOMDIR')


def _is_dicom(path):
  if path.suffix.lower() in _SUFFIXES:
    return True
  with open(path, 'rb') as file:
    return file.read(_MAGIC_PLACE + len(_MAGIC))[_MAGIC_PLACE:] == _MAGIC


def _read_header(path):
  reader = itk_volumes.file_reader(path, 'GDCMImageIO')
  try:
    header = itk_volumes.read_header(reader, path)
  except errors.InputError as error:
    raise errors.InputError(
        f'{path}: no slice (a report, a structure set or damaged), expected '
        f'only the slices of one series ({error})') from error
  if header.channels != 1:
    raise errors.InputError(
        f'{path}: a colour picture, expected one number for each voxel')
  volumes.check_bytes(path, header.bytes, compressed=True)

  def text(tag):
    return reader.GetMetaData(tag).strip() if reader.HasMetaDataKey(tag) else ''
  return _Slice(path, header, text(_SERIES_UID), text(_SERIES_NAME))


def _voxels(path):
  """One file's voxels, float32 [x, y, z]."""
  reader = itk_volumes.file_reader(path, 'GDCMImageIO')
  reader.SetOutputPixelType(sitk.sitkFloat32)
  return itk_volumes.read_voxels(reader, path).transpose(2, 1, 0)


def _check_one_series(folder, slices):
  series = {}
  for one in slices:
    series.setdefault(one.series, []).append(one)
  if len(series) == 1:
    return
  told = '; '.join(
      f'{members[0].description or "without description"} (UID {uid or "none"},'
      f' {len(members)} files, {members[0].path.name} first)'
      for uid, members in series.items())
  raise errors.InputError(
      f'{folder}: {len(series)} series, expected one; put each into a folder '
      f'of its own: {told}')


def _in_order(slices: Sequence[_Slice]) -> list[_Slice]:
  """Sorts by place along the first slice's normal."""
  normal = slices[0].normal
  return sorted(slices, key=lambda one: float(normal @ one.corner))


def _check_alike(slices):
  first = slices[0]
  for one in slices[1:]:
    if one.header.size != first.header.size or one.header.size[2] != 1:
      raise errors.InputError(
          f'{one.path}: {_size(one)} voxels, expected single slices of one '
          f'size; {first.path.name} has {_size(first)}')
    if np.abs(one.plane - first.plane).max() > _TOLERANCE / max(
        first.header.size) * np.abs(first.plane).max():
      raise errors.InputError(
          f'{one.path}: other directions or voxel sizes than '
          f'{first.path.name}, expected parallel slices of one series')


def _size(one):
  return 'x'.join(map(str, one.header.size))


def _check_gaps(slices):
  places = [float(slices[0].normal @ one.corner) for one in slices]
  gaps = np.diff(places)
  usual = float(np.median(gaps))
  pairs = [(gap, one, f'{one.path.name} and {two.path.name}')
           for gap, one, two in zip(gaps, slices, slices[1:])]
  # All of them first: where most slices are there twice, no gap is usual.
  for gap, one, between in pairs:
    if gap < _TOLERANCE * max(usual, 1e-3):
      raise errors.InputError(
          f'{one.path.parent}: {between} lie at the same place, expected each '
          'slice once')
  for gap, one, between in pairs:
    missing = round(gap / usual) - 1
    if abs(gap - usual) > _TOLERANCE * usual:
      what = (f'{missing} slice{"s" * (missing > 1)} missing'
              if missing > 0 else 'uneven slices')
      raise errors.InputError(
          f'{one.path.parent}: {what} between {between}: {gap:.4g} mm, '
          f'expected {usual:.4g} mm as between the others')


def _check_line(slices, affine):
  """Refuses slices that are shifted sideways against each other."""
  largest = _TOLERANCE * min(volumes.spacing_mm(affine)[:2])
  normal = slices[0].normal
  for z, one in enumerate(slices):
    off = affine[:3, 3] + z * affine[:3, 2] - one.corner
    if np.linalg.norm(off - normal * (normal @ off)) > largest:
      raise errors.InputError(
          f'{one.path}: shifted sideways against the other slices, expected '
          'slices on one line')
