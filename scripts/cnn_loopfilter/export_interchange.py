"""Writes an exported filter for other runtimes.

  python scripts/cnn_loopfilter/export_interchange.py --filter=EXPORTED \
      --onnx=filter.onnx --tflite=filter.tflite --sadl=filter.sadl

EXPORTED is what export_dfp.py wrote, or the name of a shipped filter. ONNX and
TFLite give the same bits; SADL rounds in its own way (measure_sadl.py).
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import importlib
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line

from cnn_loopfilter import artefact
from cnn_loopfilter import errors
from cnn_loopfilter import pretrained
from cnn_loopfilter import sadl
from cnn_loopfilter import sadl_file

_FILTER = flags.DEFINE_string('filter', None, 'Exported folder, or the name '
                              'of a shipped filter.', required=True)
_ONNX = flags.DEFINE_string('onnx', None, 'ONNX model to write.')
_TFLITE = flags.DEFINE_string('tflite', None, 'TFLite model to write.')
_SADL = flags.DEFINE_string('sadl', None, 'SADL model to write.')


def _save(kind, filter_, path):
  """Writes one kind of model; its library is needed for it alone."""
  if kind == 'sadl':
    sadl_file.save(sadl.convert(filter_), path)
    return
  try:
    module = importlib.import_module(f'cnn_loopfilter.{kind}_export')
  except ModuleNotFoundError as error:
    raise errors.InputError(
        f'--{kind}: got no {error.name} installed, expected the extra '
        f'{"interchange" if kind == "onnx" else "loopfilter"}') from error
  module.save(filter_, path)


def main() -> None:
  """Writes the models that were asked for."""
  wanted = {flag.name: flag.value for flag in (_ONNX, _TFLITE, _SADL)
            if flag.value}
  if not wanted:
    raise errors.InputError('--onnx, --tflite, --sadl: got none of them, '
                            'expected one at least')
  named = _FILTER.value in pretrained.names()
  filter_ = artefact.load(
      pretrained.folder(_FILTER.value) if named else _FILTER.value)
  for kind, path in wanted.items():
    _save(kind, filter_, path)
    print(f'{path}: {os.path.getsize(path)} bytes')


if __name__ == '__main__':
  command_line.run(main)
