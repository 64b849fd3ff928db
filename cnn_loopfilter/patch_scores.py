"""Squared errors of patches, gathered by QP and component."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses

import numpy as np

COMPONENTS = ('Y', 'U', 'V')

# QPs run from 0 to 63.
_QPS = 64


@dataclasses.dataclass(frozen=True)
class Gain:
  """PSNR in dB of one QP and component, over all its samples together."""
  before: float
  after: float

  @property
  def db(self) -> float:
    """What the filter adds."""
    return self.after - self.before


def psnr(squared_error: float, samples: float, depth: int) -> float:
  """10 log10(peak^2 / mean squared error); infinite without an error.

  Args:
    squared_error: summed, in units of a sample.
    samples: how many were summed over.
    depth: bits of a sample; the peak is 2^depth - 1.
  """
  if squared_error == 0:
    return float('inf')
  peak = 2.0 ** depth - 1
  return float(10 * np.log10(peak ** 2 * samples / squared_error))


def gains(batches: Iterable[Mapping[str, np.ndarray]],
          filter_samples: Callable[[np.ndarray, np.ndarray], np.ndarray],
          depth: int) -> dict[tuple[str, int], Gain]:
  """Filters patches and measures what became of them.

  Args:
    batches: of reconstruction and original (sample / 2^depth, [batch, height,
      width, 1]), qp and component ([batch]).
    filter_samples: takes integer samples and QPs, returns filtered samples.
    depth: bits of a sample.

  Returns:
    The gain of every component name and QP that was seen, in rising order.
  """
  before = np.zeros([len(COMPONENTS), _QPS])
  after, counts = np.zeros_like(before), np.zeros_like(before)
  for batch in batches:
    plane, original = (
        np.rint(np.asarray(batch[key], np.float64) * 2 ** depth).astype(
            np.int32) for key in ('reconstruction', 'original'))
    where = (np.asarray(batch['component']),
             np.asarray(batch['qp']).astype(int))
    filtered = np.asarray(filter_samples(plane, where[1].astype(np.int32)))
    np.add.at(before, where, _summed(plane - original))
    np.add.at(after, where, _summed(filtered - original))
    np.add.at(counts, where, plane[0].size)
  return {(COMPONENTS[c], int(q)): Gain(*(
      psnr(sums[c, q], counts[c, q], depth) for sums in (before, after)))
          for c, q in zip(*np.nonzero(counts))}


def _summed(difference):
  return np.square(difference.astype(np.float64)).sum(axis=(1, 2, 3))


def class_errors(batches: Iterable[Mapping[str, np.ndarray]]) -> np.ndarray:
  """Returns the mean squared error that the codec leaves, float32 [3, 64].

  By component and QP, in units of sample / 2^depth; 1 where no patch or no
  error was seen, so that it can be divided by.
  """
  sums = np.zeros([len(COMPONENTS), _QPS])
  counts = np.zeros_like(sums)
  for batch in batches:
    error = np.asarray(batch['reconstruction']) - np.asarray(batch['original'])
    where = (np.asarray(batch['component']),
             np.asarray(batch['qp']).astype(int))
    np.add.at(sums, where, _summed(error) / error[0].size)
    np.add.at(counts, where, 1)
  means = sums / np.maximum(counts, 1)
  return np.where(means > 0, means, 1.0).astype(np.float32)


def format_table(found: Mapping[tuple[str, int], Gain]) -> str:
  """Writes PSNR before and after in dB, one line for each class, as text."""
  lines = ['component  QP   before    after     gain dB']
  lines += [f'{component:>9}  {qp:>2}  {gain.before:7.3f}  {gain.after:7.3f}  '
            f'{gain.db:+10.3f}' for (component, qp), gain in found.items()]
  return '\n'.join(lines)


def mean_gain(found: Mapping[tuple[str, int], Gain]) -> float:
  """Returns the mean gain in dB over the classes, 0 without one."""
  known = [gain.db for gain in found.values() if np.isfinite(gain.db)]
  return float(np.mean(known)) if known else 0.0
