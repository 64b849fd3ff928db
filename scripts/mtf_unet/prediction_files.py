"""Files in, label maps out; and how far it is."""

import os
import pathlib
import sys

import tqdm

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import evaluation
from mtf_unet import inference
from mtf_unet import overlay
from mtf_unet import volumes

_SUFFIXES = ('.nii', '.nii.gz')


class Progress:
  """A bar on a terminal, a line for each item elsewhere.

  Args:
    unit: what is counted.
  """

  def __init__(self, unit: str):
    self._unit, self._bar = unit, None

  def __call__(self, done: int, total: int) -> None:
    if not sys.stderr.isatty():
      print(f'{self._unit} {done} of {total}', file=sys.stderr, flush=True)
      return
    if self._bar is None:
      self._bar = tqdm.tqdm(total=total, unit=self._unit, file=sys.stderr)
    self._bar.update(done - self._bar.n)
    if done == total:
      self._bar.close()


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


def predict(predictor: inference.FilePredictor, config: config_lib.Config,
            source: str, folder: str, *, with_probabilities: bool) -> None:
  """Writes NAME.nii.gz, NAME.png and, if asked, NAME_probabilities.nii.gz.

  Args:
    predictor: of the trained network.
    config: the experiment.
    source: file or folder.
    folder: of the results; made where missing.
    with_probabilities: write them too.
  """
  files = scans(source)
  os.makedirs(folder, exist_ok=True)
  show = Progress('scan')
  for done, path in enumerate(files, start=1):
    volume = volumes.read(path)
    probabilities = predictor.predict(volume)
    label = evaluation.label_map(probabilities)
    name = path.name.removesuffix('.gz').removesuffix('.nii')
    base = os.path.join(folder, name)
    volumes.write_label(f'{base}.nii.gz', label, volume)
    if with_probabilities:
      volumes.write_probabilities(f'{base}_probabilities.nii.gz',
                                  probabilities, volume)
    overlay.write_overlay(f'{base}.png', volume, label, title=name,
                          num_classes=config.data.num_classes)
    show(done, len(files))
  print(f'{len(files)} label maps and overlays in {folder}')
