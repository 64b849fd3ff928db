"""Scans in, label maps and pictures out."""

import dataclasses
import os
import pathlib

import item_progress

from mtf_unet import config as config_lib
from mtf_unet import dicom_series
from mtf_unet import errors
from mtf_unet import label_maps
from mtf_unet import overlay
from mtf_unet import predictors
from mtf_unet import scan_files
from mtf_unet import volumes


@dataclasses.dataclass(frozen=True)
class Scan:
  """What is predicted as one volume.

  Attributes:
    name: of its results.
    files: one, or one for each modality; a folder is a DICOM series.
  """
  name: str
  files: tuple[pathlib.Path, ...]


def scans(path: str, channels: int) -> list[Scan]:
  """Lists the scans that a file or folder means.

  Args:
    path: a file, a folder of DICOM slices, or a folder of either.
    channels: with more than one, NAME_0000, NAME_0001 and so on are one scan.

  Raises:
    InputError: if there is none, or a modality is missing.
  """
  path = pathlib.Path(path)
  if path.is_file() or dicom_series.is_series(path):
    return [Scan(scan_files.stem(os.path.abspath(path)), (path,))]
  if not path.is_dir():
    raise errors.InputError(f'--input: {path} does not exist, expected a scan '
                            'or a folder of them')
  found = sorted(filter(scan_files.is_scan, path.iterdir()))
  if not found:
    raise errors.InputError(
        f'--input: {path} holds no scan, expected {scan_files.FORMATS}')
  if channels == 1:
    return [Scan(scan_files.stem(file), (file,)) for file in found]
  return [Scan(*group) for group in scan_files.modalities(found).items()]


def targets(found: list[Scan], folder: str, *, with_probabilities: bool
            ) -> list[pathlib.Path]:
  """Names the result of each scan, without an ending.

  Raises:
    InputError: if two results, or a result and a scan, would share a name.
  """
  bases = [pathlib.Path(folder) / scan.name for scan in found]
  owners = {file.resolve(): scan for scan in found for file in scan.files}
  endings = ['.nii.gz', '.png'] + with_probabilities * [
      '_probabilities.nii.gz']
  for scan, base in zip(found, bases):
    own = {file.resolve() for file in scan.files}
    for ending in endings:
      path = base.with_name(base.name + ending)
      owner = owners.setdefault(path.resolve(), scan)
      if owner is not scan or path.resolve() in own:
        raise errors.InputError(
            f'--output: {path}, the result of {scan.files[0]}, would '
            f'overwrite {owner.files[0]} or its result, expected another '
            'folder or other names')
  return bases


def predict(predictor: predictors.ScanPredictor, config: config_lib.Config,
            source: str, folder: str, *, with_probabilities: bool) -> None:
  """Writes NAME.nii.gz, NAME.png and, if asked, NAME_probabilities.nii.gz.

  Args:
    predictor: of the trained network.
    config: the experiment.
    source: file or folder.
    folder: of the results; made where missing.
    with_probabilities: write them too.

  Raises:
    InputError: for a scan that cannot be read, or results without a place.
  """
  found = scans(source, config.data.channels)
  bases = targets(found, folder, with_probabilities=with_probabilities)
  _make_folder(folder)
  show = item_progress.ItemProgress('scan')
  for done, (scan, base) in enumerate(zip(found, bases), start=1):
    volume = scan_files.read(scan.files)
    label = _write_results(predictor, config.prediction, volume, base,
                           with_probabilities)
    overlay.write_overlay(f'{base}.png', volume, label, title=base.name,
                          num_classes=config.data.num_classes)
    show(done, len(found), base.name)
  print(f'{len(found)} label maps and overlays in {folder}')


def _write_results(predictor, config, volume, base, with_probabilities):
  """Writes the label map and, if asked, the probabilities; returns the former.

  Where they are not asked for, some predictors never make them.
  """
  if with_probabilities:
    probabilities = predictor.predict(volume)
    label = label_maps.most_probable(probabilities)
    volumes.write_probabilities(f'{base}_probabilities.nii.gz', probabilities,
                                volume)
  else:
    label = predictor.label(volume)
  label = label_maps.keep_largest(label, config.largest_component)
  volumes.write_label(f'{base}.nii.gz', label, volume)
  return label


def _make_folder(folder):
  """Finds out before the work, not after it, that nothing can be written."""
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as error:
    raise errors.InputError(
        f'--output: {folder} cannot be made ({error.strerror}), expected a '
        'folder to write to') from error
  if not os.access(folder, os.W_OK):
    raise errors.InputError(
        f'--output: {folder} is not writable, expected a folder to write to')
