"""The filter that comes with the package, and how to load it.

    from cnn_loopfilter import pretrained
    filtered = pretrained.load().filter_plane(plane, qp=32)

Trained on the 152 training pictures of CID22 (Cloudinary, CC BY-SA 4.0) coded
by x265, 8 bits; docs/loopfilter.md says how, and what it reaches.
"""

import pathlib

from cnn_loopfilter import artefact
from cnn_loopfilter import runtime

DEFAULT = 'filter_64'


def names() -> list[str]:
  """Returns the names of all shipped filters."""
  return sorted(path.parent.name for path in pathlib.Path(
      __file__).parent.glob(f'*/{artefact.JSON_NAME}'))


def folder(name: str = DEFAULT) -> pathlib.Path:
  """Returns the exported folder of a shipped filter."""
  return pathlib.Path(__file__).parent / name


def load(name: str = DEFAULT, backend: str = 'auto') -> runtime.Runtime:
  """Loads a shipped filter.

  Args:
    name: of the filter.
    backend: see `runtime.load`.

  Raises:
    InputError: if there is no such filter.
  """
  return runtime.load(folder(name), backend)
