"""What --input of the loop filter's scripts may name."""

from collections.abc import Sequence
import pathlib
import re

from absl import flags
import numpy as np
import tqdm

from cnn_loopfilter import errors
from cnn_loopfilter import frame_files
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import pictures

_SIZE = flags.DEFINE_string(
    'size', '', 'WIDTHxHEIGHT of .yuv files, where the name does not tell.')
_BITS = flags.DEFINE_integer('bits', 8, 'Bits of a sample, with --size.')
_CHROMA = flags.DEFINE_enum(
    'chroma', '420', list(frames_lib.SUBSAMPLING), 'Chroma, with --size.')
# Datasets of photographs that may be named without tfds: before them.
_DATASETS = ('div2k',)


def whole_numbers(flag: str, words: Sequence[str]) -> tuple[int, ...]:
  """Turns a list flag into numbers, or raises InputError."""
  try:
    return tuple(int(word) for word in words)
  except ValueError as error:
    raise errors.InputError(f'--{flag}: got {",".join(words)!r}, expected '
                            'whole numbers divided by commas') from error


def open_input(text: str) -> list[frames_lib.Sequence]:
  """Opens folders and files divided by commas, or a dataset.

  Raises:
    InputError: for what is not there or cannot be read.
  """
  if text.startswith('tfds:') or text.split('/')[0] in _DATASETS and (
      not pathlib.Path(text).exists()):
    return _open_dataset(text.removeprefix('tfds:'))
  paths = [pathlib.Path(word) for word in text.split(',')]
  return frame_files.open_files(paths, yuv_format())


def yuv_format() -> frames_lib.Format | None:
  """Returns what --size, --bits and --chroma tell of .yuv files, or None.

  Raises:
    InputError: for a size that is none.
  """
  if not _SIZE.value:
    return None
  size = re.fullmatch(r'([0-9]+)x([0-9]+)', _SIZE.value)
  if size is None:
    raise errors.InputError(
        f'--size: got {_SIZE.value!r}, expected such as 416x240')
  return frames_lib.Format(int(size[1]), int(size[2]), _BITS.value,
                           _CHROMA.value)


def _open_dataset(text):
  """Opens pictures of tensorflow-datasets: NAME[/CONFIG][:SPLIT].

  Each picture is read when its turn comes; a pass before tells their sizes.
  """
  # Heavy, and no other input needs it.
  import tensorflow_datasets as tfds
  name, _, split = text.partition(':')
  split = split or 'train'
  downloads = tfds.core.download
  try:
    builder = tfds.builder(name)
    builder.download_and_prepare()
    dataset = builder.as_dataset(split=split, shuffle_files=False)
  except (ValueError, OSError, ImportError,
          # What has to be fetched by hand, or did not come whole.
          AssertionError, downloads.util.DownloadError,
          downloads.download_manager.NonMatchingChecksumError) as error:
    # The lines below the first list every dataset there is.
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    raise errors.InputError(
        f'--input: cannot open dataset {text!r} ({reason})') from error
  key = _picture_key(name, dataset.element_spec)
  reader = _Reader(dataset, key)
  # Names become names of files.
  stem = name.replace('/', '-')
  return [reader.sequence(f'{stem}-{number:05d}', number)
          for number in tqdm.trange(len(dataset), desc=name, disable=None)]


def _picture_key(name, features):
  """Returns the feature that holds the pictures."""
  for key in ('hr', 'image'):
    spec = features.get(key)
    if spec is None:
      continue
    # 3 channels, or 1: gray.
    if (getattr(spec, 'dtype', None) != np.uint8 or spec.shape.rank != 3
        or spec.shape[-1] not in (1, 3)):
      raise errors.InputError(
          f'--input: dataset {name!r} has the feature {key} as {spec}, '
          'expected uint8 [height, width, 3 or 1]')
    return key
  raise errors.InputError(f'--input: dataset {name!r} has no feature image '
                          f'or hr, but {", ".join(features)}')


class _Reader:
  """Pictures of a dataset by number; in rising order nothing is read twice."""

  def __init__(self, dataset, key):
    self._dataset, self._key = dataset, key
    self._items, self._next = iter(dataset), 0
    self._newest = None

  def sequence(self, name, number):
    layout = self._frame(number).format
    return frames_lib.Sequence(name, layout, 1,
                               lambda: iter([self._frame(number)]))

  def _frame(self, number):
    if number != self._next - 1:
      if number < self._next:
        self._items, self._next = iter(self._dataset), 0
      while self._next <= number:
        item, self._next = next(self._items), self._next + 1
      picture = item[self._key].numpy()
      rgb = np.broadcast_to(picture, (*picture.shape[:2], 3))
      self._newest = pictures.from_rgb(rgb)
    # An evaluation asks for the same picture for each QP and filter.
    return self._newest
