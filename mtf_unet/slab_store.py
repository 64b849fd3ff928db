"""Where slabs wait until they are read: in memory, or in a temporary file.

A queue takes the slabs of one activation, in order along the first axis, and
gives each voxel back once: `take` so many slices, `drain` slab by slab. What
has been given back is free again, so that one activation can be written while
another is read in the room of one.

The file has no name: it goes with the process, however that ends.
"""

import collections
from collections.abc import Iterator
import contextlib
import dataclasses
import os
import shutil
import tempfile
from typing import Any
from typing import BinaryIO
from typing import Protocol

import numpy as np

from mtf_unet import errors

_GIB = 2 ** 30


class Store(Protocol):
  """Keeps arrays until they are read."""

  def put(self, array: np.ndarray) -> Any:
    """Keeps an array; returns the ticket that `take` wants."""

  def take(self, ticket: Any) -> np.ndarray:
    """Returns an array and forgets it."""


class Memory:
  """Keeps arrays as they are; whoever puts one must not change it."""

  def put(self, array: np.ndarray) -> np.ndarray:
    """Returns the array, which is its own ticket."""
    return array

  def take(self, ticket: np.ndarray) -> np.ndarray:
    """Returns the array."""
    return ticket


@dataclasses.dataclass(frozen=True)
class _Place:
  begin: int
  shape: tuple[int, ...]
  dtype: np.dtype

  @property
  def end(self) -> int:
    return self.begin + self.dtype.itemsize * int(np.prod(self.shape))


class File:
  """Keeps arrays in a file, each in the first gap that is wide enough.

  Attributes:
    size: bytes of the file so far.

  Args:
    file: open for reading and writing, empty.
    name: what messages call it.
  """

  def __init__(self, file: BinaryIO, name: str):
    self._file, self._name = file, name
    self.size = 0
    # Where nothing is kept: (begin, end) in order, none touching the next.
    self._gaps = []

  def put(self, array: np.ndarray) -> _Place:
    """Writes an array; returns its place.

    Raises:
      InputError: if the disk is full.
    """
    # As bytes: not every type of ours is one of Python's buffers.
    content = np.ascontiguousarray(array).view(np.uint8)
    begin = self._claim(content.nbytes)
    try:
      self._file.seek(begin)
      self._file.write(content.data)
    except OSError as error:
      raise errors.InputError(
          f'{self._name}: the temporary file cannot grow beyond '
          f'{self.size / _GIB:.1f} GiB ({error.strerror}), expected more '
          'room') from error
    return _Place(begin, array.shape, array.dtype)

  def take(self, ticket: _Place) -> np.ndarray:
    """Reads an array; its place is free then."""
    array = np.empty(ticket.shape, ticket.dtype)
    self._file.seek(ticket.begin)
    self._file.readinto(array.view(np.uint8).data)
    self._release(ticket.begin, ticket.end)
    return array

  def _claim(self, length):
    for index, (begin, end) in enumerate(self._gaps):
      if end - begin >= length:
        self._gaps[index:index + 1] = (
            [(begin + length, end)] if end - begin > length else [])
        return begin
    begin, self.size = self.size, self.size + length
    return begin

  def _release(self, begin, end):
    gaps = []
    for gap in sorted([*self._gaps, (begin, end)]):
      if gaps and gaps[-1][1] == gap[0]:
        gaps[-1] = (gaps[-1][0], gap[1])
      else:
        gaps.append(gap)
    self._gaps = gaps


@contextlib.contextmanager
def scratch_file(folder: str | None, needed: int) -> Iterator[File]:
  """Opens a nameless file for a while.

  Args:
    folder: where it lies; None for the system's choice.
    needed: bytes that will be there at once, at most.

  Raises:
    InputError: if the folder cannot be written to, or has not so much room.
  """
  folder = folder or tempfile.gettempdir()
  if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
    raise errors.InputError(
        f'{folder}: missing or not writable, expected a folder for temporary '
        'files')
  free = shutil.disk_usage(folder).free
  if free < needed:
    raise errors.InputError(
        f'{folder}: {free / _GIB:.1f} GiB are free, expected '
        f'{needed / _GIB:.1f} GiB for a temporary file')
  with tempfile.TemporaryFile(dir=folder) as file:
    yield File(file, folder)


class Queue:
  """The slabs of one activation, first in, first out.

  Args:
    store: keeps them.
  """

  def __init__(self, store: Store):
    self._store, self._tickets = store, collections.deque()
    # What `take` has left of a slab.
    self._rest = None

  def put(self, slab: np.ndarray) -> None:
    """Adds a slab, [slices, y, z, channels]."""
    self._tickets.append(self._store.put(slab))

  def take(self, count: int) -> np.ndarray:
    """Returns the next `count` slices, which must be there."""
    parts = []
    while count:
      slab = self._next()
      parts.append(slab[:count])
      if len(slab) > count:
        self._rest = slab[count:]
      count -= len(parts[-1])
    return parts[0] if len(parts) == 1 else np.concatenate(parts)

  def _next(self):
    if self._rest is None:
      return self._store.take(self._tickets.popleft())
    slab, self._rest = self._rest, None
    return slab

  def drain(self) -> Iterator[np.ndarray]:
    """Yields what is there, slab by slab."""
    while self._rest is not None or self._tickets:
      yield self._next()
