"""Writes a file under a temporary name first, so no crash leaves half of it.

Files of this machine alone; a bucket's are TensorFlow's to write.
"""

import collections.abc
import contextlib
import json
import os
import pathlib
import re
import typing

from mtf_unet import errors


def is_remote(path: str | os.PathLike) -> bool:
  """Whether a path is that of a bucket (gs://...), which no local file has."""
  # Path has taken one of the slashes away.
  return bool(re.match(r'[a-z][a-z0-9+.-]*:/', os.fspath(path)))


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
    InputError: for a bucket, which would become a folder of that name here.
    OSError: naming `path`, if it cannot be written.
  """
  if is_remote(path):
    raise errors.InputError(
        f'{path}: in a bucket, expected a folder of this machine')
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
