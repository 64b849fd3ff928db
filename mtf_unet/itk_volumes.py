"""MHA and NRRD files (SimpleITK) to arrays with an affine.

ITK's world runs to the left, back and top, that of `volumes` to the right,
front and top: the first two rows of the affine change sign.

Refused, each with one line that names the file: a header that is damaged or
whose voxels lie in another file, truncated voxels, shapes other than [x, y, z]
and [x, y, z, channels] (a fourth axis, or several numbers for each voxel),
voxels that are not numbers.
"""

import dataclasses
import os
import pathlib
import re

import numpy as np
import SimpleITK as sitk

from mtf_unet import errors
from mtf_unet import volumes

SUFFIXES = ('.mha', '.nrrd')
_READERS = {'.mha': 'MetaImageIO', '.nrrd': 'NrrdImageIO'}
# No header of a user's scan is longer than this.
_HEADER_BYTES = 2 ** 16
# From mm to the left and back to mm to the right and front.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_META_KEYS = {b'ndims', b'dimsize', b'elementdatafile'}
# What stands before ITK's words, and lines that say nothing of the file.
_ITK_PLACE = re.compile(r'ITK ERROR: \w+\(0x[0-9a-f]+\): ')
_ITK_NOISE = ('Exception thrown in SimpleITK', 'Reason:')
_BYTES = {
    sitk.sitkUInt8: 1, sitk.sitkInt8: 1, sitk.sitkUInt16: 2, sitk.sitkInt16: 2,
    sitk.sitkUInt32: 4, sitk.sitkInt32: 4, sitk.sitkUInt64: 8,
    sitk.sitkInt64: 8, sitk.sitkFloat32: 4, sitk.sitkFloat64: 8,
    sitk.sitkVectorUInt8: 1, sitk.sitkVectorInt8: 1, sitk.sitkVectorUInt16: 2,
    sitk.sitkVectorInt16: 2, sitk.sitkVectorUInt32: 4,
    sitk.sitkVectorInt32: 4, sitk.sitkVectorUInt64: 8,
    sitk.sitkVectorInt64: 8, sitk.sitkVectorFloat32: 4,
    sitk.sitkVectorFloat64: 8}


@dataclasses.dataclass(frozen=True)
class Header:
  """What a file says of its voxels.

  Attributes:
    size: voxels along the file's axes, x first.
    channels: numbers for each voxel.
    voxel_bytes: of one voxel.
    affine: [4, 4], voxel indices to mm (to the right, front, top).
  """
  size: tuple[int, ...]
  channels: int
  voxel_bytes: int
  affine: np.ndarray

  @property
  def bytes(self) -> int:
    """Bytes of all voxels, not compressed."""
    return int(np.prod(self.size, dtype=object)) * self.voxel_bytes


def read(path: str | os.PathLike) -> volumes.Volume:
  """Reads a file's voxels in their own type.

  Args:
    path: a .mha or .nrrd file.

  Raises:
    InputError: as the module says.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise errors.InputError(f'{path}: no such file, expected a scan')
  reader = file_reader(path, _READERS[path.suffix.lower()])
  compressed = _check_text(path)
  header = read_header(reader, path)
  if len(header.size) not in (3, 4):
    raise errors.InputError(
        f'{path}: shape {header.size}, expected [x, y, z] or '
        '[x, y, z, channels]')
  volumes.check_bytes(path, header.bytes, compressed=compressed)
  array = _axes(read_voxels(reader, path), header, path)
  return volumes.Volume(array, header.affine, str(path))


def file_reader(path: pathlib.Path, image_io: str) -> sitk.ImageFileReader:
  """Opens a file by one of ITK's readers, whatever its content looks like."""
  reader = sitk.ImageFileReader()
  reader.SetImageIO(image_io)
  reader.SetFileName(os.fspath(path))
  return reader


def read_header(reader: sitk.ImageFileReader, path: pathlib.Path) -> Header:
  """Reads what a file says of its voxels.

  Raises:
    InputError: if it cannot be read, or holds something else than numbers on
      a grid.
  """
  try:
    reader.ReadImageInformation()
  except RuntimeError as error:
    raise errors.InputError(
        f'{path}: damaged, truncated or of another format '
        f'({_reason(error)})') from error
  pixel = reader.GetPixelID()
  if pixel not in _BYTES:
    raise errors.InputError(
        f'{path}: voxels of type {sitk.GetPixelIDValueAsString(pixel)}, '
        'expected numbers')
  channels = reader.GetNumberOfComponents()
  affine = _affine(reader)
  if not np.isfinite(affine).all() or abs(np.linalg.det(
      affine[:3, :3])) < 1e-12:
    raise errors.InputError(
        f'{path}: the grid is singular or not finite, expected one in mm')
  return Header(tuple(reader.GetSize()), channels, channels * _BYTES[pixel],
                affine)


def read_voxels(reader: sitk.ImageFileReader, path: pathlib.Path
                ) -> np.ndarray:
  """Reads the voxels, [z, y, x] with further axes as ITK has them.

  Raises:
    InputError: if they are damaged or truncated, or do not fit into memory.
  """
  try:
    return sitk.GetArrayFromImage(reader.Execute())
  except (RuntimeError, MemoryError) as error:
    raise errors.InputError(
        f'{path}: damaged or truncated voxels, or more than the memory holds '
        f'({_reason(error)})') from error


def _affine(reader):
  """Grid in mm from ITK's origin, spacing and directions; x, y and z only."""
  dims = reader.GetDimension()
  rank = min(dims, 3)
  directions = np.reshape(reader.GetDirection(), (dims, dims))[:rank, :rank]
  affine = np.eye(4)
  affine[:rank, :rank] = directions * reader.GetSpacing()[:rank]
  affine[:rank, 3] = reader.GetOrigin()[:rank]
  return _LPS_TO_RAS @ affine


def _axes(array, header, path):
  """Puts ITK's axes in the order [x, y, z, channels]."""
  if header.channels == 1:
    return array.transpose(range(array.ndim)[::-1])
  if len(header.size) == 4:
    raise errors.InputError(
        f'{path}: {header.channels} numbers for each of '
        f'{"x".join(map(str, header.size))} voxels, expected a fourth axis or '
        'several numbers, not both')
  return array.transpose(2, 1, 0, 3)


def _check_text(path):
  """Refuses a header that leads to other files; says whether compressed."""
  with open(path, 'rb') as file:
    text = file.read(_HEADER_BYTES)
  separator, last = {'.mha': (b'=', b'elementdatafile'),
                     '.nrrd': (b':', b'')}[path.suffix.lower()]
  keys = {}
  for line in text.split(b'\n'):
    key, _, value = line.partition(separator)
    key = key.strip().lower()
    keys[key] = value.strip().lower()
    if key == last:
      break
  if path.suffix.lower() == '.mha' and not keys.keys() >= _META_KEYS:
    # ITK would say so too, but also write to standard error on its own.
    raise errors.InputError(
        f'{path}: truncated or of another format, expected a MetaImage header')
  if keys.get(b'elementdatafile', b'local') != b'local' or (
      keys.keys() & {b'data file', b'datafile'}):
    raise errors.InputError(
        f'{path}: its voxels lie in another file, expected one file that holds '
        'header and voxels')
  stored = keys.get(b'compresseddatasize', b'0')
  if stored.isdigit() and int(stored) > path.stat().st_size:
    raise errors.InputError(
        f'{path}: {int(stored)} bytes of voxels are promised, the file has '
        f'{path.stat().st_size}; expected a whole file')
  return (keys.get(b'compresseddata') == b'true'
          or keys.get(b'encoding', b'raw') not in (b'raw',))


def _reason(error):
  """ITK's own words, without where in its sources they stand."""
  lines = [_ITK_PLACE.sub('', line).strip() for line in
           str(error).splitlines()]
  told = [line for line in lines if line and not line.startswith(_ITK_NOISE)]
  return told[-1] if told else type(error).__name__
