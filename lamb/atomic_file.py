"""Writes a file under a temporary name first, so no crash leaves half of it."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import json
import os
import pathlib
from typing import Any
from typing import BinaryIO


@contextlib.contextmanager
def replacing(*paths: str | os.PathLike) -> Iterator[Sequence[BinaryIO]]:
  """Opens temporary files that take their names when all went well.

  The temporary files are hidden and lie in the folders of the finished ones.
  On any error they are removed, and older files stay as they were.

  Args:
    *paths: Names of the finished files; folders are made where missing.

  Yields:
    The temporary files, open for binary writing.

  Raises:
    OSError: Naming the file, if it cannot be written.
  """
  paths = [pathlib.Path(path) for path in paths]
  temporary = [path.with_name(f'.{path.name}.{os.getpid()}.partial')
               for path in paths]
  try:
    with contextlib.ExitStack() as stack:
      streams = []
      for path, part in zip(paths, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        streams.append(stack.enter_context(open(part, 'wb')))
      yield streams
      for stream in streams:
        stream.flush()
        os.fsync(stream.fileno())
    for path, part in zip(paths, temporary):
      os.replace(part, path)
  except OSError as error:
    if error.filename is None and error.errno is not None:
      # A full disk is told without a name.
      raise OSError(error.errno, error.strerror, str(paths[0])) from error
    raise
  finally:
    for part in temporary:
      part.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, content: Any) -> None:
  """Writes strict JSON (a NaN in `content` is an error, not a word)."""
  text = json.dumps(content, indent=2, allow_nan=False) + '\n'
  with replacing(path) as (stream,):
    stream.write(text.encode('utf-8'))
