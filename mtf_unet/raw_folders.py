"""Finds the cases in a folder of raw scans, whatever its layout.

Three layouts are known by what lies in the folder:
  Medical Segmentation Decathlon: dataset.json, imagesTr/, labelsTr/; several
    modalities as a fourth axis, or as nnU-Net has them: one file for each,
    NAME_0000, NAME_0001 and so on beside labelsTr/NAME;
  LiTS: volume-N and segmentation-N;
  the reference's records: GZIP TFRecords of image/ct_image and image/label,
  float32 bytes of resolution^3 voxels.
Scans are of any format that `scan_files` knows, folders of DICOM included.
"""

import dataclasses
import glob
import json
import os
import pathlib
import re

import numpy as np

from mtf_unet import errors
from mtf_unet import orientations
from mtf_unet import reference_records
from mtf_unet import scan_files
from mtf_unet import volumes

_LITS = re.compile(r'(volume|segmentation)-(\d+)')


@dataclasses.dataclass(frozen=True)
class RawCase:
  """One case that has not been read yet.

  Attributes:
    name: unique within its folder.
    images: files of the scan, one for each modality where there are several;
      a folder for a DICOM series.
    label: file of its label map; the record file again for records.
    record: number of the record within its file, None for scans.
  """
  name: str
  images: tuple[pathlib.Path, ...]
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
        'labelsTr/, or volume-N.nii.gz with segmentation-N.nii.gz (or another '
        f'of {scan_files.FORMATS}), or *.tfrecord files')
  names = [case.name for case in cases]
  twice = {name for name in names if names.count(name) > 1}
  if twice:
    raise errors.InputError(
        f'{folder}: case {min(twice)} exists twice, expected unique names')
  for case in cases:
    for role, path in (*(('image', path) for path in case.images),
                       ('label', case.label)):
      if not path.exists():
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
    image = scan_files.read(case.images)
    label = orientations.turned_like(
        scan_files.read_label(case.label, num_classes), image)
    volumes.check_same_grid(image, label)
    return image, label
  path, = case.images
  name = f'{path}, record {case.record}'
  image, label = reference_records.read_cube(path, case.record)
  if not np.isfinite(image).all():
    raise errors.InputError(
        f'{name}: NaN or infinite voxels, expected finite numbers')
  label = volumes.as_labels(label, num_classes, name)
  # The reference keeps neither affine nor spacing.
  return (volumes.Volume(image, np.eye(4), name),
          volumes.Volume(label, np.eye(4), name))


def _decathlon(folder):
  pairs = _described_pairs(folder)
  if pairs is None:
    return _named_alike(folder)
  return [RawCase(scan_files.stem(image), _files_of(folder / image),
                  folder / label)
          for image, label in pairs
          if not pathlib.PurePath(image).name.startswith('._')]


def _described_pairs(folder):
  """The pairs of dataset.json; None where it leaves them to the names."""
  description = folder / 'dataset.json'
  if not description.is_file():
    return None
  try:
    content = json.loads(description.read_text(encoding='utf-8'))
    # nnU-Net's second version names the files' ending in place of the files.
    if 'training' not in content and 'file_ending' in content:
      return None
    return [(pair['image'], pair['label']) for pair in content['training']]
  except (ValueError, KeyError, TypeError) as error:
    raise errors.InputError(
        f'{description}: expected JSON with a list "training" of pairs '
        f'"image" and "label" ({error!r})') from error


def _files_of(path):
  """A described image, or the modalities that stand in its place."""
  if path.exists():
    return (path,)
  name = scan_files.stem(path)
  found = [file for file in sorted(path.parent.glob(
      f'{glob.escape(name)}_[0-9][0-9][0-9][0-9].*'))
           if scan_files.is_scan(file)]
  return scan_files.modalities(found).get(name, (path,))


def _named_alike(folder):
  """Cases by the names in imagesTr/ and labelsTr/."""
  images, labels = (
      sorted(filter(scan_files.is_scan, (folder / part).iterdir()))
      if (folder / part).is_dir() else [] for part in ('imagesTr', 'labelsTr'))
  by_name = {scan_files.stem(label): label for label in labels}
  # A name that a label has too is a case's, though it may end in digits.
  whole = [path for path in images if scan_files.stem(path) in by_name]
  parts = scan_files.modalities([path for path in images if path not in whole])
  cases = [(scan_files.stem(path), (path,)) for path in whole]
  return [RawCase(name, files,
                  by_name.get(name, folder / 'labelsTr' / files[0].name))
          for name, files in (*cases, *parts.items())]


def _lits(folder):
  found = {'volume': [], 'segmentation': []}
  for path in sorted(folder.iterdir()):
    match = _LITS.fullmatch(scan_files.stem(path))
    if match and scan_files.is_scan(path):
      found[match[1]].append((match[2], path))
  labels = dict(found['segmentation'])
  return [RawCase(scan_files.stem(path), (path,), labels.get(
      number, folder / f'segmentation-{number}.nii'))
          for number, path in found['volume']]


def _records(folder):
  paths = sorted(path for path in folder.iterdir()
                 if 'tfrecord' in path.name and not path.name.startswith('.'))
  return [
      RawCase(f'{path.name}-{number:05d}', (path,), path, number)
      for path in paths
      for number in range(reference_records.count(path))]
