"""How much filters gain on a codec's frames: bits, PSNR, BD-rate.

Every filter works on the codec's unfiltered reconstruction of an all-intra
stream, so the bits of a QP are the same for all of them; a coded state has its
own bits (sample adaptive offset costs some). BD-rates of every component use
the bits of the whole picture, as JVET does.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from cnn_loopfilter import bd_rate
from cnn_loopfilter import errors
from cnn_loopfilter import frames as frames_lib
from cnn_loopfilter import quality
from cnn_loopfilter import switched
from cnn_loopfilter import vmaf as vmaf_lib
from cnn_loopfilter.codec import base

# (plane [height, width], qp) to a plane of the same shape and type.
PlaneFilter = Callable[[np.ndarray, int], np.ndarray]
# The codec's own filters, and what BD-rates are taken against.
ANCHOR, UNFILTERED = 'all', 'none'
AVERAGE = 'average'
# What a BD-rate can be at equal values of: dB, dB of SSIM, VMAF's points.
MEASURES = ('psnr', 'ssim', 'vmaf')


@dataclasses.dataclass(frozen=True)
class Point:
  """One sequence at one QP: bits of all frames, means of `quality.Scores`."""
  bits: int
  psnr: tuple[float, ...]
  ssim: tuple[float, ...] = ()
  vmaf: float | None = None
  # Seconds for all frames; a filter's are added to those of no filter. None
  # where the codec did not tell (codings from a cache have no times).
  encode_s: float | None = None
  decode_s: float | None = None


@dataclasses.dataclass(frozen=True)
class SequenceResult:
  """Points by state ('none', 'deblocking', 'all' or a filter) and QP."""
  name: str
  group: str
  frames: int
  points: Mapping[str, Mapping[int, Point]]


@dataclasses.dataclass(frozen=True)
class Row:
  """BD-rates in percent; None where a curve has none (a flat component)."""
  name: str
  group: str
  state: str
  against: str
  percent: tuple[float | None, ...]
  # One of MEASURES; VMAF has one column, the others one for each component.
  measure: str = 'psnr'


def evaluate(sequences: Sequence[frames_lib.Sequence], codec: base.Codec,
             qps: Sequence[int], filters: Mapping[str, PlaneFilter], *,
             limit: int | None = None,
             switches: switched.Setting | None = None,
             vmaf: vmaf_lib.Program | None = None,
             on_point: Callable[[int, int, str], None] = lambda *_: None
             ) -> list[SequenceResult]:
  """Measures the codec's own filters and the given ones.

  Args:
    sequences: what to code.
    codec: codes with none and, where it can, with its own filters.
    qps: at which it codes.
    filters: by name; each gets every plane of the unfiltered reconstruction.
    limit: at most so many frames of a sequence.
    switches: each filter is measured with switches too, whose bits count.
    vmaf: measures VMAF too.
    on_point: told (done, total, name) after each sequence and QP.

  Returns:
    One result for each sequence.

  Raises:
    InputError: if a filter has the name of a codec's state, or does not keep
      a plane's shape and type; or the codec fails.
  """
  for name in filters:
    if name in base.FILTERS:
      raise errors.InputError(
          f'filter: got the name {name!r}, expected another than '
          f'{", ".join(base.FILTERS)}')
  results, total = [], len(sequences) * len(qps)
  for sequence in sequences:
    points = {}
    for qp in qps:
      with quality.meter(vmaf) as meter:
        count, states = _measure(sequence, codec, qp, filters, limit, meter,
                                 switched.Stream(switches, filters))
      for state, point in states.items():
        points.setdefault(state, {})[qp] = point
      done = len(results) * len(qps) + len(points[UNFILTERED])
      on_point(done, total, f'{sequence.name} QP {qp}')
    results.append(SequenceResult(sequence.name, sequence.group, count, points))
  return results


def _measure(sequence, codec, qp, filters, limit, meter, switched_stream):
  """Codes one sequence at one QP; returns frame count and states' points."""
  bits, seconds, count = {}, {}, 0
  filters = {name: _Timed(one) for name, one in filters.items()}
  streams = {state: codec.encode(sequence.frames(limit), qp, state)
             for state in codec.filters}
  for frame, *coded in zip(sequence.frames(limit), *streams.values()):
    frames = {state: (one.reconstruction.planes, one.bits)
              for state, one in zip(streams, coded)}
    for state, one in zip(streams, coded):
      seconds.setdefault(state, []).append((one.encode_s, one.decode_s))
    planes, frame_bits = frames[UNFILTERED]
    unfiltered = frames_lib.Frame(tuple(planes), frame.format)
    for name, plane_filter in filters.items():
      filtered = [apply(plane_filter, plane, qp, name) for plane in planes]
      frames[name] = filtered, frame_bits
      for state, (planes_on, more) in switched_stream.states(
          name, frame, unfiltered, filtered, qp).items():
        frames[state] = planes_on, frame_bits + more
    for state, (_, frame_bits) in frames.items():
      bits[state] = bits.get(state, 0) + frame_bits
    meter.add(frame, {state: planes for state, (planes, _) in frames.items()})
    count += 1
  totals = _totals(seconds, filters)
  return count, {
      state: Point(bits[state], *dataclasses.astuple(scores),
                   *totals.get(state, ()))
      for state, scores in meter.scores().items()}


class _Timed:
  """A plane filter that adds up the seconds it takes."""

  def __init__(self, plane_filter):
    self._filter, self.seconds = plane_filter, 0.0

  def __call__(self, plane, qp):
    watch = base.Stopwatch()
    filtered = self._filter(plane, qp)
    self.seconds += watch.lap()
    return filtered


def _totals(seconds, filters):
  """Sums frames' (encoder, decoder) seconds by state, where all are told."""
  totals = {state: tuple(map(math.fsum, zip(*frames)))
            for state, frames in seconds.items()
            if all(None not in frame for frame in frames)}
  if UNFILTERED in totals:
    totals |= {name: tuple(own + one.seconds for own in totals[UNFILTERED])
               for name, one in filters.items()}
  return totals


def apply(plane_filter: PlaneFilter, plane: np.ndarray, qp: int,
          name: str) -> np.ndarray:
  """Filters one plane and checks that its shape and type are kept.

  Args:
    plane_filter: the filter.
    plane: uint8 or uint16 [height, width].
    qp: of the frame, 0 to 63.
    name: of the filter, for messages.

  Returns:
    The filtered plane.

  Raises:
    InputError: if they are not kept.
  """
  filtered = plane_filter(plane, qp)
  if filtered.shape != plane.shape or filtered.dtype != plane.dtype:
    raise errors.InputError(
        f'filter {name}: got {filtered.dtype} {filtered.shape}, expected '
        f'{plane.dtype} {plane.shape}')
  return filtered


def by_qp(filters: Mapping[int, PlaneFilter]) -> PlaneFilter:
  """Joins filters that were each trained at one QP into one.

  A plane is given to the filter with the nearest QP (the lower of two), and
  that filter is told its own QP, the only one it knows.
  """
  def plane_filter(plane, qp):
    nearest = min(sorted(filters), key=lambda own: abs(own - qp))
    return filters[nearest](plane, nearest)
  return plane_filter


def bd_rates(results: Sequence[SequenceResult], against: str,
             qps: Sequence[int] | None = None,
             measure: str = 'psnr') -> list[Row]:
  """Computes BD-rates of every other state against one.

  Args:
    results: of `evaluate`.
    against: a state of theirs.
    qps: only these; None takes all.
    measure: one of MEASURES.

  Returns:
    For each state a row for each sequence, then for each group where there
    are several, then the average over all sequences.
  """
  rows = []
  for state in results[0].points:
    if state == against:
      continue
    own = [Row(result.name, result.group, state, against,
               _percent(result, state, against, qps, measure), measure)
           for result in results]
    groups = list(dict.fromkeys(row.group for row in own))
    means = [_mean(group, group, [row for row in own if row.group == group])
             for group in groups if len(groups) > 1]
    rows += own + means + [_mean(AVERAGE, '', own)]
  return rows


def _percent(result, state, against, qps, measure):
  curves = [[result.points[name][qp]
             for qp in (qps or result.points[name])]
            for name in (against, state)]
  values = []
  for component in range(len(values_of(curves[0][0], measure))):
    try:
      values.append(bd_rate.bd_rate(*(
          column for curve in curves for column in
          ([point.bits for point in curve],
           [values_of(point, measure)[component] for point in curve]))))
    except errors.InputError:
      # Components without detail give no curve; the table shows a dash.
      values.append(None)
  return tuple(values)


def values_of(point: Point, measure: str) -> tuple[float, ...]:
  """Returns a point's values of one of MEASURES, SSIM in dB, or NaN."""
  if measure == 'vmaf':
    return (math.nan if point.vmaf is None else point.vmaf,)
  if measure == 'ssim':
    return tuple(map(quality.ssim_db, point.ssim))
  return point.psnr


def _mean(name, group, rows):
  columns = []
  for component in range(max(len(row.percent) for row in rows)):
    values = [row.percent[component] for row in rows
              if component < len(row.percent)
              and row.percent[component] is not None]
    columns.append(math.fsum(values) / len(values) if values else None)
  return Row(name, group, rows[0].state, rows[0].against, tuple(columns),
             rows[0].measure)
