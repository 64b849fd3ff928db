"""Finds the cases in a folder of raw scans, whatever its layout.

Three layouts are known by what lies in the folder:
  Medical Segmentation Decathlon: dataset.json, imagesTr/, labelsTr/;
  LiTS: volume-N.nii[.gz] and segmentation-N.nii[.gz];
  the reference's records: GZIP TFRecords of image/ct_image and image/label,
  float32 bytes of resolution^3 voxels.
"""

import dataclasses
import json
import os
import pathlib
import re

import numpy as np

from mtf_unet import errors
from mtf_unet import reference_records
from mtf_unet import volumes

_NIFTI = re.compile(r'\.nii(\.gz)?$')
_LITS = re.compile(r'volume-(\d+)\.nii(\.gz)?$')


@dataclasses.dataclass(frozen=True)
class RawCase:
  """One case that has not been read yet.

  Attributes:
    name: unique within its folder.
    image: file of the scan.
    label: file of its label map; the record file again for records.
    record: number of the record within its file, None for NIfTI.
  """
  name: str
  image: pathlib.Path
  label: pathlib.Path
  record: int | None = None


def find_cases(folder: str | os.PathLike) -> list[RawCase]:
  """Lists the cases of a folder, sorted by name.

  Args:
    folder: in one of the three layouts. Files that macOS leaves behind
      (`._*`) do not count.

  Raises:
    InputError: for a folder that is missing, empty or of unknown layout, an
      image without its label, or a damaged dataset.json or record file.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise errors.InputError(f'{folder}: no such folder, expected raw scans')
  if (folder / 'dataset.json').is_file() or (folder / 'imagesTr').is_dir():
    cases = _decathlon(folder)
  else:
    cases = _lits(folder) or _records(folder)
  if not cases:
    raise errors.InputError(
        f'{folder}: no cases found, expected dataset.json with imagesTr/ and '
        'labelsTr/, or volume-N.nii[.gz] with segmentation-N.nii[.gz], or '
        '*.tfrecord files')
  names = [case.name for case in cases]
  twice = {name for name in names if names.count(name) > 1}
  if twice:
    raise errors.InputError(
        f'{folder}: case {min(twice)} exists twice, expected unique names')
  for case in cases:
    for role, path in (('image', case.image), ('label', case.label)):
      if not path.is_file():
        raise errors.InputError(
            f'{path}: missing {role} file of case {case.name}')
  return sorted(cases, key=lambda case: case.name)


def read_case(case: RawCase, num_classes: int
              ) -> tuple[volumes.Volume, volumes.Volume]:
  """Reads and checks one case.

  Args:
    case: from `find_cases`.
    num_classes: labels are whole numbers 0 .. num_classes - 1.

  Returns:
    (image float32, label uint8), on one grid.

  Raises:
    InputError: for damaged files, voxels that are not finite, values that are
      no labels, or grids that differ.
  """
  if case.record is None:
    image = volumes.read(case.image)
    label = volumes.read_label(case.label, num_classes)
    volumes.check_same_grid(image, label)
    return image, label
  name = f'{case.image}, record {case.record}'
  image, label = reference_records.read_cube(case.image, case.record)
  if not np.isfinite(image).all():
    raise errors.InputError(
        f'{name}: NaN or infinite voxels, expected finite numbers')
  label = volumes.as_labels(label, num_classes, name)
  # The reference keeps neither affine nor spacing.
  return (volumes.Volume(image, np.eye(4), name),
          volumes.Volume(label, np.eye(4), name))


def case_name(path: str | os.PathLike) -> str:
  """Returns a file's name without folder and .nii or .nii.gz."""
  return _NIFTI.sub('', pathlib.PurePath(path).name)


def _decathlon(folder):
  description = folder / 'dataset.json'
  if not description.is_file():
    return [
        RawCase(case_name(path), path, folder / 'labelsTr' / path.name)
        for path in (folder / 'imagesTr').iterdir()
        if _NIFTI.search(path.name) and not path.name.startswith('.')]
  try:
    pairs = [(pair['image'], pair['label']) for pair in json.loads(
        description.read_text(encoding='utf-8'))['training']]
  except (ValueError, KeyError, TypeError) as error:
    raise errors.InputError(
        f'{description}: expected JSON with a list "training" of pairs '
        f'"image" and "label" ({error!r})') from error
  return [RawCase(case_name(image), folder / image, folder / label)
          for image, label in pairs
          if not pathlib.PurePath(image).name.startswith('._')]


def _lits(folder):
  cases = []
  for path in folder.iterdir():
    match = _LITS.fullmatch(path.name)
    if match:
      labels = [folder / f'segmentation-{match[1]}{ending}'
                for ending in ('.nii', '.nii.gz')]
      label = next((label for label in labels if label.is_file()), labels[0])
      cases.append(RawCase(case_name(path), path, label))
  return cases


def _records(folder):
  paths = sorted(path for path in folder.iterdir()
                 if 'tfrecord' in path.name and not path.name.startswith('.'))
  return [
      RawCase(f'{path.name}-{number:05d}', path, path, number)
      for path in paths
      for number in range(reference_records.count(path))]
