"""Streams documents out of text files of any size.

The format is google-research/bert's: one sentence on a line, an empty line
between documents, UTF-8; here also compressed by gzip (`.gz`), and a file's
end ends its document.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import gzip
import os
import zlib

from lamb import errors

# Documents are handed on in chunks of this size, which bounds memory.
CHUNK_BYTES = 1 << 20
# No sentence is that long: the file is binary, or has no line ends.
_LONGEST_LINE = 1 << 20

Document = list[str]


def chunks(paths: Sequence[str], chunk_bytes: int = CHUNK_BYTES,
           progress: Callable[[int, int], None] = lambda done, total: None
           ) -> Iterator[list[Document]]:
  """Yields the documents of some files, in chunks.

  A document of more than a chunk is divided where the chunk is full.

  Args:
    paths: Text files.
    chunk_bytes: Text in a chunk, about.
    progress: Told how many of all bytes (compressed ones) have been read.

  Raises:
    InputError: A file is no text.
    OSError: A file cannot be read.
  """
  total = sum(map(os.path.getsize, paths))
  before, chunk, size = 0, [], 0
  for path in paths:
    for document, read in _documents(path, chunk_bytes):
      chunk.append(document)
      size += sum(map(len, document))
      if size >= chunk_bytes:
        progress(before + read, total)
        yield chunk
        chunk, size = [], 0
    before += os.path.getsize(path)
    progress(before, total)
  if chunk:
    yield chunk


def _documents(path, longest):
  """Yields the documents of a file, and how many of its bytes are read."""
  document, size = [], 0
  for line, read in _lines(path):
    if line:
      document.append(line)
      size += len(line)
    if document and (not line or size >= longest):
      yield document, read
      document, size = [], 0
  if document:
    yield document, os.path.getsize(path)


def _lines(path):
  """Yields the stripped lines of a file, and how many bytes are read."""
  with open(path, 'rb') as raw:
    stream = gzip.GzipFile(fileobj=raw) if path.endswith('.gz') else raw
    number = 0
    try:
      while line := stream.readline(_LONGEST_LINE):
        number += 1
        yield _decode(line, path, number), raw.tell()
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
      raise errors.InputError(
          f'{path}: damaged after line {number} ({error}), expected a whole '
          'gzip file.') from error


def _decode(line, path, number):
  reason = ''
  if len(line) >= _LONGEST_LINE:
    reason = f'longer than {_LONGEST_LINE} bytes'
  elif b'\0' in line:
    reason = 'holds a zero byte'
  try:
    text = line.decode('utf-8')
  except UnicodeDecodeError:
    reason = 'is not UTF-8'
  if reason:
    raise errors.InputError(
        f'{path}: line {number} {reason}; expected text with one sentence on '
        'a line.')
  return text.strip()
