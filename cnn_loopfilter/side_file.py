"""The side file .clf: QPs, switches and checksums of a filtered video.

A header, one record for each frame, an end record; docs/clf-format.md
specifies every byte. It can be read while it is written, and only one record
is in memory. Every record has a checksum that goes on from the one before, so
that damage, a lost record and a changed order are found.
"""

from collections.abc import Iterator
import dataclasses
import hashlib
import os
import pathlib
import struct
import typing
import zlib

import numpy as np

from cnn_loopfilter import artefact
from cnn_loopfilter import blocks
from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import integer_graph
from cnn_loopfilter import switch_coding

MAGIC, VERSION = b'CNNLFCLF', 1
# Larger pictures are refused before memory is taken for their blocks.
MAX_EDGE = 16384

_HEADER = struct.Struct('<8sHHII4B32s')
_FRAME, _END = struct.Struct('<BBHII'), struct.Struct('<BBHI')
_CRC = struct.Struct('<I')
_FRAME_TYPE, _END_TYPE = ord('F'), ord('E')
_WITH_BLOCK_QPS = 1
_CHROMAS = tuple(frames_lib.SUBSAMPLING)
# Even the least probable flag takes less than so many bits.
_MOST_BITS_OF_A_FLAG = 16


@dataclasses.dataclass(frozen=True)
class Header:
  """What holds for all frames.

  Attributes:
    grid: format of the frames and size of the blocks.
    coding: of the switches, one of switch_coding.CODINGS.
    filter_digest: SHA-256 of the filter's filter.npz, 32 bytes.
  """
  grid: blocks.Grid
  coding: str
  filter_digest: bytes


@dataclasses.dataclass(frozen=True)
class Record:
  """What one frame needs.

  Attributes:
    qp: of the frame, 0 to 63.
    switches: as the header's coding packs them.
    output_crc: CRC-32 of the filtered frame's bytes.
    block_qps: uint8 [rows, columns]; None: `qp` everywhere.
  """
  qp: int
  switches: bytes
  output_crc: int
  block_qps: np.ndarray | None = None


def digest_of(folder: str | os.PathLike) -> bytes:
  """Returns what tells one exported filter from another, 32 bytes."""
  data = (pathlib.Path(folder) / artefact.NPZ_NAME).read_bytes()
  return hashlib.sha256(data).digest()


def frame_crc(frame: frames_lib.Frame) -> int:
  """Returns the CRC-32 of a frame's planes, one after the other."""
  crc = 0
  for plane in frame.planes:
    crc = zlib.crc32(np.ascontiguousarray(plane), crc)
  return crc


class Writer:
  """Writes a side file record by record.

  Args:
    stream: open for binary writing.
    header: of the file.

  Raises:
    InputError: for frames that are too large.
  """

  def __init__(self, stream: typing.BinaryIO, header: Header):
    layout = header.grid.format
    if max(layout.width, layout.height) > MAX_EDGE:
      raise errors.InputError(
          f'side file: got frames of {layout.width}x{layout.height}, expected '
          f'at most {MAX_EDGE}x{MAX_EDGE}')
    self._stream, self._count, self._crc = stream, 0, 0
    self._write(_HEADER.pack(
        MAGIC, VERSION, _HEADER.size + _CRC.size, layout.width, layout.height,
        layout.depth, _CHROMAS.index(layout.chroma), header.grid.size,
        switch_coding.CODINGS.index(header.coding), header.filter_digest))

  def _write(self, data):
    self._crc = zlib.crc32(data, self._crc)
    self._stream.write(data + _CRC.pack(self._crc))

  def add(self, record: Record) -> None:
    """Writes the record of the next frame."""
    qps, kind = b'', 0
    if record.block_qps is not None:
      qps, kind = record.block_qps.astype(np.uint8).tobytes(), _WITH_BLOCK_QPS
    self._write(_FRAME.pack(_FRAME_TYPE, record.qp, kind, len(record.switches),
                            record.output_crc) + qps + record.switches)
    self._count += 1
    self._stream.flush()

  def finish(self) -> None:
    """Writes the end, which tells the number of frames."""
    self._write(_END.pack(_END_TYPE, 0, 0, self._count))


class Reader:
  """Reads a side file record by record, also while it is written.

  Args:
    stream: open for binary reading.
    name: of the file, for messages.

  Raises:
    InputError: if this is no side file, it is of another version or damaged.
  """

  def __init__(self, stream: typing.BinaryIO, name: str):
    self._stream, self._name, self._crc = stream, name, 0
    self.header = self._read_header()

  def _error(self, message):
    return errors.InputError(f'{self._name}: {message}')

  def _read(self, size, where):
    data = self._stream.read(size)
    if len(data) != size:
      raise self._error(f'ends within {where}')
    return data

  def _check(self, data, where):
    self._crc = zlib.crc32(data, self._crc)
    (told,) = _CRC.unpack(self._read(_CRC.size, where))
    if told != self._crc:
      raise self._error(f'the checksum of {where} is wrong (damaged, or not '
                        'the next record)')

  def _read_header(self):
    start = self._stream.read(len(MAGIC))
    if start != MAGIC:
      raise self._error(f'got {start!r} at its start, expected {MAGIC!r} (a '
                        'side file of filter_video.py)')
    data = start + self._read(_HEADER.size - len(start), 'the header')
    _, version, size, width, height, *codes, digest = _HEADER.unpack(data)
    if version != VERSION:
      raise self._error(f'got version {version}, expected {VERSION}')
    self._check(data, 'the header')
    depth, chroma, block, coding = codes
    if (size != _HEADER.size + _CRC.size or chroma >= len(_CHROMAS)
        or coding >= len(switch_coding.CODINGS)
        or max(width, height) > MAX_EDGE):
      raise self._error(
          f'got a header of {size} bytes, {width}x{height} samples, chroma '
          f'{chroma} and coding {coding}, expected {_HEADER.size + _CRC.size}, '
          f'at most {MAX_EDGE}x{MAX_EDGE}, 0 to {len(_CHROMAS) - 1} and 0 to '
          f'{len(switch_coding.CODINGS) - 1}')
    try:
      grid = blocks.Grid(
          frames_lib.Format(width, height, depth, _CHROMAS[chroma]), block)
    except errors.InputError as error:
      raise self._error(str(error)) from error
    return Header(grid, switch_coding.CODINGS[coding], digest)

  def records(self) -> Iterator[Record]:
    """Yields the record of each frame, in order; call it once.

    Raises:
      InputError: where the file ends early, is damaged or goes on past its
        end.
    """
    count = 0
    while True:
      where = f'the record of frame {count}'
      kind = self._read(1, where)
      if kind[0] == _END_TYPE:
        self._read_end(kind, count)
        return
      if kind[0] != _FRAME_TYPE:
        raise self._error(f'got a record of type {kind!r}, expected '
                          f'{bytes([_FRAME_TYPE])!r} or {bytes([_END_TYPE])!r}')
      yield self._read_record(kind, where)
      count += 1

  def _read_record(self, start, where):
    data = start + self._read(_FRAME.size - 1, where)
    _, qp, kind, size, output_crc = _FRAME.unpack(data)
    rows, columns = self.header.grid.shape
    components = len(self.header.grid.format.plane_shapes)
    largest = _MOST_BITS_OF_A_FLAG * components * (rows * columns + 2) // 8
    if qp > integer_graph.MAX_QP or kind > _WITH_BLOCK_QPS or size > largest:
      raise self._error(
          f'{where} has QP {qp}, kind {kind} and {size} bytes of switches, '
          f'expected at most {integer_graph.MAX_QP}, {_WITH_BLOCK_QPS} and '
          f'{largest}')
    qps = self._read(rows * columns * kind, where)
    switches = self._read(size, where)
    self._check(data + qps + switches, where)
    block_qps = None
    if kind:
      block_qps = np.frombuffer(qps, np.uint8).reshape(rows, columns)
      if block_qps.max() > integer_graph.MAX_QP:
        raise self._error(f'{where} has a block of QP {block_qps.max()}, '
                          f'expected at most {integer_graph.MAX_QP}')
    return Record(qp, switches, output_crc, block_qps)

  def _read_end(self, start, count):
    data = start + self._read(_END.size - 1, 'its end record')
    self._check(data, 'its end record')
    told = _END.unpack(data)[-1]
    if told != count:
      raise self._error(f'its end record tells {told} frames, expected {count}')
    if self._stream.read(1):
      raise self._error('goes on after its end record')
