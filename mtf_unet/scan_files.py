"""What a user has on disk to one volume: any format, one file a modality.

  .nii, .nii.gz     NIfTI (`volumes`)
  .mha, .nrrd       MetaImage and NRRD (`itk_volumes`)
  a folder          the slices of one DICOM series (`dicom_series`)

A scan with several channels is a file with a fourth axis, or one file for each
modality whose names end in _0000, _0001 and so on before the suffix, as in the
Medical Segmentation Decathlon and nnU-Net.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import os
import pathlib
import re

import numpy as np

from mtf_unet import dicom_series
from mtf_unet import errors
from mtf_unet import itk_volumes
from mtf_unet import orientations
from mtf_unet import volumes

SUFFIXES = ('.nii.gz', '.nii', *itk_volumes.SUFFIXES)
FORMATS = f'{", ".join(SUFFIXES)} or a folder with a DICOM series'
_CHANNEL = re.compile(r'(.+)_(\d{4})')


def read(paths: Sequence[str | os.PathLike]) -> volumes.Volume:
  """Reads a scan.

  Args:
    paths: one file or series, or several on one grid that are joined as
      channels.

  Returns:
    A Volume, float32 [x, y, z] or [x, y, z, channels].

  Raises:
    InputError: if one cannot be read, or their grids differ.
  """
  first, *others = [volumes.as_image(_read_numbers(path)) for path in paths]
  if not others:
    return first
  parts = [first, *(orientations.turned_like(part, first) for part in others)]
  for part in parts[1:]:
    volumes.check_same_grid(first, part)
  return dataclasses.replace(first, array=np.concatenate(
      [part.array.reshape(part.array.shape[:3] + (-1,)) for part in parts],
      axis=3))


def read_label(path: str | os.PathLike, num_classes: int) -> volumes.Volume:
  """Reads a label map of any of the formats; see `volumes.read_label`."""
  return volumes.as_label_map(_read_numbers(path), num_classes)


def _read_numbers(path):
  path = pathlib.Path(path)
  if path.is_dir():
    return dicom_series.read(path)
  if path.suffix.lower() in itk_volumes.SUFFIXES:
    return itk_volumes.read(path)
  return volumes.read_numbers(path)


def is_scan(path: pathlib.Path) -> bool:
  """Whether a file's name, or what a folder holds, is a scan's.

  Hidden files, which macOS leaves behind, are not.
  """
  if path.name.startswith('.'):
    return False
  if path.is_dir():
    return dicom_series.is_series(path)
  return path.name.lower().endswith(SUFFIXES)


def stem(path: str | os.PathLike) -> str:
  """Returns a scan's name without folder and suffix."""
  name = pathlib.PurePath(path).name
  for suffix in SUFFIXES:
    if name.lower().endswith(suffix):
      return name[:-len(suffix)]
  return name


def modalities(paths: Sequence[pathlib.Path]
               ) -> dict[str, tuple[pathlib.Path, ...]]:
  """Groups files by the name before _0000, _0001 and so on.

  Args:
    paths: of scans; a name that does not end so is a group of its own.

  Returns:
    The files of each name, in the order of their numbers.

  Raises:
    InputError: for a number that is missing in a group, or there twice.
  """
  groups = {}
  for path in paths:
    match = _CHANNEL.fullmatch(stem(path))
    name, number = (match[1], int(match[2])) if match else (stem(path), 0)
    known = groups.setdefault(name, {})
    if number in known:
      raise errors.InputError(
          f'{path}: the same name as {known[number].name}, expected one file '
          'for each name')
    known[number] = path
  _check_numbers(groups)
  return {name: tuple(known[number] for number in sorted(known))
          for name, known in groups.items()}


def _check_numbers(groups: Mapping[str, Mapping[int, pathlib.Path]]) -> None:
  for name, known in groups.items():
    for number in range(max(known) + 1):
      if number not in known:
        beside = known[max(known)]
        raise errors.InputError(
            f'{beside.parent}: no file {name}_{number:04d}, expected it beside '
            f'{beside.name}')
