"""NIfTI files to arrays and back: voxels, spacing (mm), affine.

Refused, each with one line that names the file: what is no NIfTI file, a
truncated or damaged file, shapes other than [x, y, z] and [x, y, z, channels],
voxels that are not numbers, an affine that is singular or not finite.
"""

import dataclasses
import gzip
import os
import pathlib
import zlib

import nibabel
import numpy as np

from mtf_unet import atomic_file
from mtf_unet import errors

# Deflate cannot shrink data by more than this, so a header that promises more
# voxels than this factor times the file's bytes is wrong.
_LARGEST_DEFLATE_RATIO = 1032

_READ_ERRORS = (OSError, EOFError, ValueError, zlib.error, OverflowError,
                nibabel.filebasedimages.ImageFileError,
                nibabel.spatialimages.HeaderDataError)


@dataclasses.dataclass(frozen=True)
class Volume:
  """A scan.

  Attributes:
    array: [x, y, z] or [x, y, z, channels], in the file's own orientation.
    affine: [4, 4], voxel indices to mm (to the right, front, top).
    path: where it came from, for messages.
  """
  array: np.ndarray
  affine: np.ndarray
  path: str


def read(path: str | os.PathLike) -> Volume:
  """Reads an image.

  Args:
    path: a .nii or .nii.gz file.

  Returns:
    A Volume whose array is float32.

  Raises:
    InputError: if the file is missing, damaged, or holds anything but finite
      numbers on a 3-D grid.
  """
  return as_image(read_numbers(path))


def as_image(volume: Volume) -> Volume:
  """Converts to float32.

  Raises:
    InputError: for voxels that are not finite.
  """
  array = np.asarray(volume.array, np.float32)
  bad = array.size - np.count_nonzero(np.isfinite(array))
  if bad:
    raise errors.InputError(
        f'{volume.path}: {bad} voxels are NaN or infinite, expected finite '
        'numbers')
  return dataclasses.replace(volume, array=array)


def read_label(path: str | os.PathLike, num_classes: int) -> Volume:
  """Reads a label map.

  Args:
    path: a .nii or .nii.gz file, one label for each voxel.
    num_classes: labels are whole numbers 0 .. num_classes - 1.

  Returns:
    A Volume whose array is uint8 [x, y, z].

  Raises:
    InputError: as `read`, and for a value that is no label, naming the first.
  """
  return as_label_map(read_numbers(path), num_classes)


def as_label_map(volume: Volume, num_classes: int) -> Volume:
  """Converts to uint8 [x, y, z].

  Raises:
    InputError: for another shape, and for a value that is no label.
  """
  array = volume.array
  if array.ndim == 4 and array.shape[3] == 1:
    array = array[..., 0]
  if array.ndim != 3:
    raise errors.InputError(
        f'{volume.path}: label of shape {array.shape}, expected [x, y, z]')
  return dataclasses.replace(
      volume, array=as_labels(array, num_classes, volume.path))


def as_labels(array: np.ndarray, num_classes: int, name: str) -> np.ndarray:
  """Converts to uint8, refusing whatever is no label.

  Args:
    array: numbers of any type and shape.
    num_classes: labels are whole numbers 0 .. num_classes - 1.
    name: what the message calls the array.

  Returns:
    The same values as uint8.

  Raises:
    InputError: naming the first bad value and its voxel.
  """
  good = (array >= 0) & (array <= num_classes - 1)
  if not np.issubdtype(array.dtype, np.integer):
    good &= array == np.floor(array)
  if not good.all():
    index = np.unravel_index(np.argmin(good), good.shape)
    raise errors.InputError(
        f'{name}: label {array[index]} at voxel {tuple(map(int, index))}, '
        f'expected whole numbers from 0 to {num_classes - 1}')
  return array.astype(np.uint8)


def check_same_grid(image: Volume, label: Volume) -> None:
  """Refuses a label that does not lie voxel on voxel with its image.

  The corners of both grids may differ by a tenth of a voxel: files written by
  different programs round their affines differently.

  Raises:
    InputError: if shapes or affines differ.
  """
  shape = image.array.shape[:3]
  if label.array.shape[:3] != shape:
    raise errors.InputError(
        f'{label.path}: label of shape {label.array.shape[:3]}, expected '
        f'{shape} as in {image.path}')
  corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape], (1,))).reshape(
      4, -1)
  difference = (image.affine - label.affine) @ corners
  distance_mm = np.linalg.norm(difference[:3], axis=0).max()
  if distance_mm > 0.1 * min(spacing_mm(image.affine)):
    raise errors.InputError(
        f'{label.path}: the affine puts voxels up to {distance_mm:.3g} mm from '
        f'those of {image.path}, expected the same affine')


def write(path: str | os.PathLike, array: np.ndarray,
          affine: np.ndarray) -> None:
  """Writes an array as .nii.gz, under a temporary name first.

  Args:
    path: ends in .nii.gz.
    array: [x, y, z] or [x, y, z, channels], written in its own type.
    affine: [4, 4], voxel indices to mm.

  Raises:
    InputError: for another ending.
  """
  if not str(path).endswith('.nii.gz'):
    raise errors.InputError(f'{path}: expected a name ending in .nii.gz')
  image = nibabel.Nifti1Image(array, affine)
  image.header.set_xyzt_units('mm')
  # No time stamp inside: equal arrays give equal files.
  with atomic_file.replacing(path) as stream, gzip.GzipFile(
      fileobj=stream, filename='', mode='wb', compresslevel=6,
      mtime=0) as packed:
    image.to_stream(packed)


def write_label(path: str | os.PathLike, array: np.ndarray,
                like: Volume) -> None:
  """Writes a label map on the grid of a volume that was read.

  Args:
    path: ends in .nii.gz.
    array: uint8 [x, y, z] in the orientation of `like`.
    like: gives shape and affine.

  Raises:
    InputError: if the shapes differ.
  """
  _check_shape(path, array, like)
  write(path, np.asarray(array, np.uint8), like.affine)


def write_probabilities(path: str | os.PathLike, array: np.ndarray,
                        like: Volume) -> None:
  """Writes probabilities on the grid of a volume that was read.

  Args:
    path: ends in .nii.gz.
    array: [x, y, z, classes] in [0, 1], in the orientation of `like`; written
      as float32.
    like: gives shape and affine.

  Raises:
    InputError: if the shapes differ.
  """
  _check_shape(path, array, like)
  write(path, np.asarray(array, np.float32), like.affine)


def spacing_mm(affine: np.ndarray) -> tuple[float, float, float]:
  """Returns the distance in mm between voxels along each array axis."""
  return tuple(float(s) for s in np.linalg.norm(affine[:3, :3], axis=0))


def read_numbers(path: str | os.PathLike) -> Volume:
  """Reads voxels as they are stored (scaled where the header says so).

  Raises:
    InputError: as `read`, but for voxels that are not finite.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise errors.InputError(f'{path}: no such file, expected a NIfTI file')
  try:
    image = nibabel.load(path)
    _check_header(image, path)
    array = np.asanyarray(image.dataobj)
  except errors.InputError:
    raise
  except _READ_ERRORS as error:
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise errors.InputError(
        f'{path}: damaged, truncated or no NIfTI file ({reason})') from error
  except MemoryError as error:
    raise errors.InputError(
        f'{path}: {image.shape} voxels do not fit into memory') from error
  return Volume(array, np.asarray(image.affine, np.float64), str(path))


def _check_header(image, path):
  """Refuses what cannot be right before memory is taken for the voxels."""
  dtype = image.get_data_dtype()
  if len(image.shape) not in (3, 4) or min(image.shape) < 1:
    raise errors.InputError(
        f'{path}: shape {image.shape}, expected [x, y, z] or '
        '[x, y, z, channels]')
  if dtype.kind not in 'iuf':
    raise errors.InputError(
        f'{path}: voxels of type {dtype}, expected numbers')
  affine = image.affine
  if not np.isfinite(affine).all() or abs(np.linalg.det(
      affine[:3, :3])) < 1e-12:
    raise errors.InputError(
        f'{path}: the affine is singular or not finite, expected a grid in mm')
  check_bytes(path, int(np.prod(image.shape, dtype=object)) * dtype.itemsize,
              compressed=path.suffix == '.gz')


def check_bytes(path: pathlib.Path, promised: int, *, compressed: bool
                ) -> None:
  """Refuses a header that promises more voxels than its file can hold.

  Args:
    path: of the file.
    promised: bytes of voxels.
    compressed: whether the file's bytes are.

  Raises:
    InputError: naming both numbers.
  """
  stored = path.stat().st_size
  if promised > stored * (_LARGEST_DEFLATE_RATIO if compressed else 1):
    raise errors.InputError(
        f'{path}: the header promises {promised} bytes of voxels, the file of '
        f'{stored} bytes cannot hold them; expected a whole file')


def _check_shape(path, array, like):
  if array.shape[:3] != like.array.shape[:3]:
    raise errors.InputError(
        f'{path}: array of shape {array.shape}, expected that of {like.path}, '
        f'{like.array.shape[:3]}')
