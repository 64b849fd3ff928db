"""Measures what SADL's rounding changes, against the format's own.

  python scripts/cnn_loopfilter/measure_sadl.py --filter=EXPORTED \
      --input=PICTURES --qps=22,37 --crop=192

Pictures are coded by x265 (PyAV), all intra, its loop filters off. The middle
of each is filtered exactly and by SADL's arithmetic, simulated in NumPy: with
the filter's own lengths, and with more fractional bits where int16 has room.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import frame_sources
import item_progress
import numpy as np

from cnn_loopfilter import artefact
from cnn_loopfilter import errors
from cnn_loopfilter import pretrained
from cnn_loopfilter import runtime
from cnn_loopfilter import sadl
from cnn_loopfilter.codec import x265

_FILTER = flags.DEFINE_string('filter', pretrained.DEFAULT, 'Exported folder, '
                              'or the name of a shipped filter.')
_INPUT = flags.DEFINE_string('input', None, 'Folders or files of pictures.',
                             required=True)
_QPS = flags.DEFINE_list('qps', ['22', '27', '32', '37'], 'QPs.')
_CROP = flags.DEFINE_integer('crop', 192, 'Rows and columns of luma that are '
                             'filtered.', lower_bound=8)


def _middle(plane, size):
  top, left = (max(0, (edge - size) // 2) for edge in plane.shape)
  return plane[top:top + size, left:left + size]


def _planes(sequences, qps):
  """Yields QP, unfiltered luma and original luma of each picture."""
  codec = x265.X265()
  show, total = item_progress.ItemProgress('picture'), len(sequences) * len(qps)
  pairs = [(qp, sequence) for qp in qps for sequence in sequences]
  for done, (qp, sequence) in enumerate(pairs, 1):
    frame = next(sequence.open())
    coded = next(codec.encode([frame], qp, 'none')).reconstruction
    yield qp, *(_middle(which.planes[0], _CROP.value)
                for which in (coded, frame))
    show(done, total, sequence.name)


def _psnr(plane, original, depth):
  error = np.mean((plane.astype(float) - original) ** 2)
  return 10 * np.log10((2 ** depth - 1) ** 2 / error)


def _row(name, qp, found):
  """One line of the table from [(reference, other, gain, loss)]."""
  difference = np.concatenate([
      np.abs(other.astype(int) - reference).ravel()
      for reference, other, _, _ in found])
  gain, loss = np.mean([pair[2:] for pair in found], axis=0)
  return (f'| {name} | {qp} | {difference.mean():.4f} | {difference.max()} | '
          f'{(difference > 0).mean():.2%} | {gain:+.4f} | {-loss:+.4f} |')


def main() -> None:
  """Filters every picture three ways and prints a table."""
  named = _FILTER.value in pretrained.names()
  filter_ = artefact.load(
      pretrained.folder(_FILTER.value) if named else _FILTER.value)
  qps = frame_sources.whole_numbers('qps', _QPS.value)
  sequences = frame_sources.open_input(_INPUT.value)
  if {sequence.format.depth for sequence in sequences} != {filter_.depth}:
    raise errors.InputError(
        f'--input: expected pictures of {filter_.depth} bits')
  # Exact in float32 where it is proven, and much faster than the reference.
  exact = runtime.of(filter_, 'float32')
  ways = {name: sadl.Simulation(sadl.convert(filter_, use_room=use_room))
          for name, use_room in (('own', False), ('more, in int16', True))}
  found = {}
  for qp, coded, original in _planes(sequences, qps):
    reference = exact.filter_plane(coded, qp)
    before, after = (_psnr(plane, original, filter_.depth)
                     for plane in (coded, reference))
    for name, way in ways.items():
      other = way.filter_plane(coded, qp)
      loss = after - _psnr(other, original, filter_.depth)
      found.setdefault((name, qp), []).append(
          (reference, other, after - before, loss))
  print('| lengths | QP | mean difference | largest | samples changed | '
        'gain of the filter, dB | SADL against it, dB |')
  print('|---|---:|---:|---:|---:|---:|---:|')
  for (name, qp), rows in sorted(found.items()):
    print(_row(name, qp, rows))


if __name__ == '__main__':
  command_line.run(main)
