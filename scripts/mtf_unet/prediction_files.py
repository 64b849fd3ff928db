"""Scans in, label maps and pictures out."""

import os
import pathlib

import item_progress

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import inference
from mtf_unet import label_maps
from mtf_unet import overlay
from mtf_unet import volumes

_SUFFIXES = ('.nii', '.nii.gz')


def scans(path: str) -> list[pathlib.Path]:
  """Lists the scans that a file or folder means.

  Raises:
    InputError: if there is none.
  """
  path = pathlib.Path(path)
  if path.is_file():
    return [path]
  if not path.is_dir():
    raise errors.InputError(f'--input: {path} does not exist, expected a '
                            'NIfTI file or a folder of them')
  found = sorted(file for file in path.iterdir()
                 if file.name.endswith(_SUFFIXES)
                 and not file.name.startswith('.'))
  if not found:
    raise errors.InputError(
        f'--input: {path} holds no scan, expected files ending in '
        f'{" or ".join(_SUFFIXES)}')
  return found


def targets(files: list[pathlib.Path], folder: str, *,
            with_probabilities: bool) -> list[pathlib.Path]:
  """Names the result of each scan, without an ending.

  Raises:
    InputError: if two results, or a result and a scan, would share a name.
  """
  bases = [pathlib.Path(folder) / file.name.removesuffix('.gz').removesuffix(
      '.nii') for file in files]
  owners = {file.resolve(): file for file in files}
  endings = ['.nii.gz', '.png'] + with_probabilities * [
      '_probabilities.nii.gz']
  for file, base in zip(files, bases):
    for ending in endings:
      path = base.with_name(base.name + ending)
      owner = owners.setdefault(path.resolve(), file)
      if owner is not file or path.resolve() == file.resolve():
        raise errors.InputError(
            f'--output: {path}, the result of {file}, would overwrite {owner} '
            'or its result, expected another folder or other names')
  return bases


def predict(predictor: inference.FilePredictor, config: config_lib.Config,
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
  files = scans(source)
  bases = targets(files, folder, with_probabilities=with_probabilities)
  _make_folder(folder)
  show = item_progress.ItemProgress('scan')
  for done, (path, base) in enumerate(zip(files, bases), start=1):
    volume = volumes.read(path)
    probabilities = predictor.predict(volume)
    label = label_maps.from_probabilities(probabilities, config.prediction)
    volumes.write_label(f'{base}.nii.gz', label, volume)
    if with_probabilities:
      volumes.write_probabilities(f'{base}_probabilities.nii.gz',
                                  probabilities, volume)
    overlay.write_overlay(f'{base}.png', volume, label, title=base.name,
                          num_classes=config.data.num_classes)
    show(done, len(files), base.name)
  print(f'{len(files)} label maps and overlays in {folder}')


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
