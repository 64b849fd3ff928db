"""Writes under a temporary name first, so no crash leaves half a result."""

import collections.abc
import contextlib
import json
import os
import pathlib
import shutil
import typing


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> collections.abc.Iterator[
    typing.BinaryIO]:
  """Opens a temporary file that takes the name `path` when all went well.

  The temporary file is hidden and lies in the same folder, so that the rename
  is one atomic step; on any error it is removed and an older file at `path`
  stays as it was.

  Args:
    path: name of the finished file; its folder is made where missing.

  Yields:
    The temporary file, open for binary writing.

  Raises:
    OSError: naming `path`, if it cannot be written.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.partial')
  try:
    with open(temporary, 'wb') as stream:
      yield stream
      stream.flush()
      os.fsync(stream.fileno())
    os.replace(temporary, path)
  except OSError as error:
    if error.filename is None and error.errno is not None:
      # A full disk is told without a name.
      raise OSError(error.errno, error.strerror, str(path)) from error
    raise
  finally:
    temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, content: typing.Any) -> None:
  """Writes strict JSON (a NaN in `content` is an error, not a word)."""
  text = json.dumps(content, indent=2, allow_nan=False) + '\n'
  with replacing(path) as stream:
    stream.write(text.encode('utf-8'))


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike) -> collections.abc.Iterator[
    pathlib.Path]:
  """Makes a temporary folder that takes the name `path` when all went well.

  Args:
    path: name of the finished folder, which must not exist or be empty.

  Yields:
    The temporary folder, beside `path`; removed on any error.

  Raises:
    OSError: if the folder cannot be made, or `path` has files in it.
  """
  path = pathlib.Path(path).absolute()
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.partial')
  temporary.mkdir()
  try:
    yield temporary
    os.replace(temporary, path)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
