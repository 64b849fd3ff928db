"""The records of pre-training: their features, written without TensorFlow.

A record is a serialized `tf.train.Example` with the features of
google-research/bert. Its wire format (protobuf) is written here by NumPy for
all records of a chunk at once, so that the processes that make data need not
import TensorFlow, and are not held up by one number at a time.

Features, with L tokens and P masked positions:
  input_ids, input_mask, segment_ids        [L] int64
  masked_lm_positions, masked_lm_ids        [P] int64
  masked_lm_weights                         [P] float, 0 where there is none
  next_sentence_labels                      [1] int64, 1 = a random segment
"""

from collections.abc import Mapping
import functools

import numpy as np

TOKEN_FEATURES = ('input_ids', 'input_mask', 'segment_ids')
PREDICTION_FEATURES = ('masked_lm_positions', 'masked_lm_ids')
WEIGHTS = 'masked_lm_weights'
LABELS = 'next_sentence_labels'

# Numbers of protobuf fields, shifted, with the wire type "length-delimited".
_FIRST, _SECOND, _THIRD = 0x0A, 0x12, 0x1A


def serialize(features: Mapping[str, np.ndarray]) -> list[bytes]:
  """Returns one serialized Example for each row.

  Args:
    features: Arrays [records, values]; floats become a float_list, whole
      numbers, not negative and below 2^21, an int64_list.
  """
  columns = [_feature(name, values)
             for name, values in sorted(features.items())]
  return [_field(_FIRST, b''.join(row)) for row in zip(*columns)]


def _feature(name, values):
  """Returns the map entry of one feature for each record."""
  key = _field(_FIRST, name.encode())
  kind, packed = _THIRD, None
  if values.dtype.kind == 'f':
    kind = _SECOND
    packed = [row.tobytes() for row in values.astype('<f4')]
  else:
    packed = _varints(values)
  return [_field(_FIRST, key + _field(_SECOND, _field(kind, _field(
      _FIRST, row)))) for row in packed]


def _field(tag, content):
  """Returns a length-delimited field."""
  return _header(tag, len(content)) + content


@functools.lru_cache(maxsize=1 << 14)
def _header(tag, length):
  """Returns tag and length, a varint; the same few come again and again."""
  size = bytearray([tag])
  while length > 127:
    size.append(length & 127 | 128)
    length >>= 7
  size.append(length)
  return bytes(size)


def _varints(values):
  """Returns the packed varints of each row of whole numbers below 2^21."""
  if not values.size or values.max() < 128:
    return [row.tobytes() for row in values.astype(np.uint8)]
  flat = values.astype(np.int64).ravel()
  sizes = 1 + (flat >= 1 << 7) + (flat >= 1 << 14)
  ends = np.cumsum(sizes)
  data = np.zeros(ends[-1], np.uint8)
  for byte in range(3):
    there = sizes > byte
    more = np.where(sizes[there] > byte + 1, 128, 0)
    data[(ends - sizes)[there] + byte] = (
        flat[there] >> 7 * byte & 127) | more
  content = data.tobytes()
  stops = ends.reshape(values.shape)[:, -1].tolist()
  return [content[start:stop] for start, stop in zip([0, *stops], stops)]
