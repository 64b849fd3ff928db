"""The checksum of TFRecord files, computed for many records at once.

CRC-32C (Castagnoli), reflected, as in RFC 3720; TFRecord stores it rotated by
15 bits plus a constant. NumPy runs over the bytes' positions and over all
records side by side, so that Python's loop is as long as one record.
"""

from collections.abc import Sequence

import numpy as np

_POLYNOMIAL = np.uint32(0x82F63B78)
_MASK_DELTA = np.uint32(0xA282EAD8)


def _table():
  value = np.arange(256, dtype=np.uint32)
  for _ in range(8):
    value = (value >> np.uint32(1)) ^ np.where(
        value & np.uint32(1), _POLYNOMIAL, np.uint32(0))
  return value


_TABLE = _table()


def masked(records: Sequence[bytes]) -> np.ndarray:
  """Returns TFRecord's masked checksum of each record, uint32 [records]."""
  lengths = np.array([len(record) for record in records], np.int64)
  # Longest first: those that go on are always the first so many.
  order = np.argsort(-lengths, kind='stable')
  lengths = lengths[order]
  data = np.frombuffer(b''.join(records), np.uint8)
  begins = np.cumsum([0, *(len(record) for record in records)])[:-1][order]
  state = np.full(len(records), 0xFFFFFFFF, np.uint32)
  active = len(records)
  for position in range(int(lengths[0]) if len(records) else 0):
    while lengths[active - 1] <= position:
      active -= 1
    head = state[:active]
    byte = data[begins[:active] + position]
    state[:active] = _TABLE[(head ^ byte) & np.uint32(0xFF)] ^ (
        head >> np.uint32(8))
  plain = np.empty_like(state)
  plain[order] = state ^ np.uint32(0xFFFFFFFF)
  return ((plain >> np.uint32(15)) | (plain << np.uint32(17))) + _MASK_DELTA
