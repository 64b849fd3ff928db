"""Reads MNIST from a folder of idx files or from tensorflow-datasets."""

import dataclasses
import gzip
import importlib
import pathlib
import struct

import numpy as np

from lamb import errors

_IMAGE_MAGIC = 2051
_LABEL_MAGIC = 2049


@dataclasses.dataclass(frozen=True)
class Digits:
  """Pictures of digits and what they show.

  Attributes:
    images: `[count, height, width]`, uint8, 0 background to 255 ink.
    labels: `[count]`, uint8, 0 to 9.
  """

  images: np.ndarray
  labels: np.ndarray

  def __post_init__(self):
    if len(self.images) != len(self.labels):
      raise errors.InputError(
          f'{len(self.images)} images but {len(self.labels)} labels: expected '
          'one label for each image.')


def load_mnist(folder: str | None) -> tuple[Digits, Digits]:
  """Loads MNIST's training and test digits.

  Args:
    folder: Folder with the four idx files, gzipped or not; None for
      tensorflow-datasets, which downloads them.

  Returns:
    Training and test digits.

  Raises:
    InputError: A file is missing, cut short or no idx file of bytes.
  """
  if folder:
    return tuple(
        Digits(read_idx(_find(folder, f'{part}-images-idx3-ubyte')),
               read_idx(_find(folder, f'{part}-labels-idx1-ubyte')))
        for part in ('train', 't10k'))
  datasets = importlib.import_module('tensorflow_datasets')
  parts = []
  for name in ('train', 'test'):
    images, labels = datasets.as_numpy(datasets.load(
        'mnist', split=name, as_supervised=True, batch_size=-1))
    parts.append(Digits(images[..., 0], labels.astype(np.uint8)))
  return tuple(parts)


def read_idx(path: pathlib.Path) -> np.ndarray:
  """Reads one idx file of bytes, the format of yann.lecun.com/exdb/mnist.

  Args:
    path: File, gzipped if it ends in `.gz`.

  Returns:
    uint8 array `[count]` of labels or `[count, height, width]` of pictures.

  Raises:
    InputError: The file cannot be read, is not one of these two kinds, or
      holds fewer or more bytes than its header says.
  """
  try:
    opener = gzip.open if path.suffix == '.gz' else open
    with opener(path, 'rb') as file:
      content = file.read()
  except (OSError, EOFError) as error:
    raise errors.InputError(f'{path}: cannot be read ({error}).') from error
  magic = struct.unpack('>I', content[:4])[0] if len(content) >= 4 else None
  dims = {_IMAGE_MAGIC: 3, _LABEL_MAGIC: 1}.get(magic)
  if dims is None or len(content) < 4 + 4 * dims:
    raise errors.InputError(
        f'{path}: starts with {content[:4].hex() or "nothing"}, expected an '
        'idx file of images (00000803) or labels (00000801).')
  shape = struct.unpack(f'>{dims}I', content[4:4 + 4 * dims])
  values = np.frombuffer(content, np.uint8, offset=4 + 4 * dims)
  if values.size != np.prod(shape):
    raise errors.InputError(
        f'{path}: holds {values.size} values, its header says '
        f'{" x ".join(map(str, shape))}.')
  return values.reshape(shape)


def _find(folder, name):
  """Returns the path of an idx file, gzipped or not."""
  candidates = [pathlib.Path(folder) / name,
                pathlib.Path(folder) / f'{name}.gz']
  for path in candidates:
    if path.exists():
      return path
  raise errors.InputError(
      f'{folder}: no {name} or {name}.gz there, expected the four idx files '
      'of MNIST.')
