"""DICOM series for the tests, written slice by slice with SimpleITK."""

import numpy as np
import SimpleITK as sitk

INTERCEPT = -1024
SPACING_MM = (0.8, 1.5, 2.5)
CORNER_MM = (-20.0, -30.0, 5.0)
# Rows run to the left, columns to the back: LPS, as scanners have it.
STRAIGHT = ((1, 0, 0), (0, 1, 0))


def write_slice(path, array, *, corner_mm=CORNER_MM, directions=STRAIGHT,
                spacing_mm=SPACING_MM[:2], series='1.2.3', description='head'):
  """Writes Hounsfield units [x, y]; GDCM stores them less INTERCEPT."""
  path.parent.mkdir(parents=True, exist_ok=True)
  image = sitk.GetImageFromArray(
      np.ascontiguousarray(array.T[np.newaxis]).astype(np.int16))
  # GDCM's writer takes the grid from the image, not from the tags.
  image.SetSpacing((*spacing_mm, 1.0))
  image.SetOrigin(corner_mm)
  rows = np.array(directions, float)
  image.SetDirection(np.stack([*rows, np.cross(*rows)], axis=1).ravel())
  tags = {'0008|0060': 'CT', '0020|000e': series, '0008|103e': description,
          '0020|0032': '\\'.join(map(str, corner_mm)),
          '0020|0037': '\\'.join(map(str, np.ravel(directions))),
          '0028|1052': str(INTERCEPT), '0028|1053': '1'}
  for tag, value in tags.items():
    image.SetMetaData(tag, value)
  writer = sitk.ImageFileWriter()
  writer.KeepOriginalImageUIDOn()
  writer.SetFileName(str(path))
  writer.Execute(image)
  return path


def write_series(folder, array, directions=STRAIGHT, **keywords):
  """Writes Hounsfield units [x, y, z]; names do not tell the order."""
  normal = np.cross(*np.array(directions, float))
  names = np.random.default_rng(0).permutation(array.shape[2])
  for z, name in enumerate(names):
    corner = np.array(CORNER_MM) + z * SPACING_MM[2] * normal
    write_slice(folder / f'{name:04d}.dcm', array[:, :, z],
                corner_mm=tuple(corner.tolist()), directions=directions,
                **keywords)
  return folder


def slice_at(folder, z):
  """The file of a series' slice number z."""
  count = len(list(folder.iterdir()))
  return folder / f'{np.random.default_rng(0).permutation(count)[z]:04d}.dcm'
