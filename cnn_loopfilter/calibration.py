"""Patches that a filter is quantized on."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses

import numpy as np
import tensorflow as tf

from cnn_loopfilter import errors
from cnn_loopfilter import float_filter

_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Calibration:
  """Patches or planes that the lengths are chosen on.

  Attributes:
    reconstruction: int32 [count, height, width, 1].
    original: int32, same shape.
    qp: int32 [count].
    component: int32 [count], 0 Y, 1 U, 2 V.
    depth: bits of a sample.
  """
  reconstruction: np.ndarray
  original: np.ndarray
  qp: np.ndarray
  component: np.ndarray
  depth: int

  @property
  def classes(self) -> np.ndarray:
    """Numbers of the pairs of QP and component, int64 [count]."""
    pairs = np.stack([self.qp, self.component], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)


def from_batches(batches: Iterable[Mapping[str, np.ndarray]], count: int,
                 depth: int) -> Calibration:
  """Gathers patches.

  Args:
    batches: as records.training_dataset gives them, as NumPy arrays.
    count: patches to take, or all where there are fewer.
    depth: bits of a sample.

  Raises:
    InputError: if there is none.
  """
  parts, left = [], count
  for batch in batches:
    parts.append({key: value[:left] for key, value in batch.items()})
    left -= len(parts[-1]['qp'])
    if left <= 0:
      break
  if not parts:
    raise errors.InputError('calibration: got no patch, expected some')
  whole = {key: np.concatenate([part[key] for part in parts])
           for key in parts[0]}
  return Calibration(
      *(np.rint(np.ldexp(whole[key].astype(np.float64), depth)).astype(
          np.int32) for key in ('reconstruction', 'original')),
      np.rint(whole['qp']).astype(np.int32),
      whole['component'].astype(np.int32), depth)


def parts(calibration: Calibration
          ) -> Iterator[tuple[tf.Tensor, tf.Tensor, np.ndarray]]:
  """Yields reconstruction, QP and original in batches, in order."""
  for i in range(0, len(calibration.qp), _BATCH):
    yield (tf.constant(calibration.reconstruction[i:i + _BATCH]),
           tf.constant(calibration.qp[i:i + _BATCH]),
           calibration.original[i:i + _BATCH])


def network_input(reconstruction: tf.Tensor, qp: tf.Tensor,
                  depth: int) -> tf.Tensor:
  """float32 [batch, height, width, 2]: sample / 2^depth and qp / 64."""
  x = tf.cast(reconstruction, tf.float32) * 2.0 ** -depth
  plane = tf.cast(qp, tf.float32) / float_filter.QP_RANGE
  return tf.concat([x, tf.reshape(plane, [-1, 1, 1, 1]) * tf.ones_like(x)], 3)
