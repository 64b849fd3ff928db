"""Evaluations of several codecs side by side."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import math

from cnn_loopfilter import errors
from cnn_loopfilter import evaluation
from cnn_loopfilter.codec import base


@dataclasses.dataclass(frozen=True)
class Run:
  """One codec's evaluation.

  `rows` has every BD-rate: against all of the codec's filters and against
  none, by each of evaluation.MEASURES that was measured.
  """
  codec: str
  results: Sequence[evaluation.SequenceResult]
  rows: Sequence[evaluation.Row]

  def select(self, state: str, against: str) -> dict[
      str, list[evaluation.Row]]:
    """Returns by measure: sequences', groups' (if several), the average."""
    chosen = {}
    for row in self.rows:
      if (row.state, row.against) == (state, against):
        chosen.setdefault(row.measure, []).append(row)
    return chosen

  def pairs(self) -> list[tuple[str, str]]:
    """Returns each (state, against) of the rows once, in order."""
    return list(dict.fromkeys((row.state, row.against) for row in self.rows))


def check(codecs: Sequence[base.Codec]) -> None:
  """Tells before anything is measured whether codecs can be compared.

  Raises:
    InputError: if two have one label, or the first of several cannot filter.
  """
  labels = [codec.label for codec in codecs]
  if len(set(labels)) < len(labels):
    raise errors.InputError(
        f'codecs: got {", ".join(labels)}, expected each one once')
  if len(codecs) > 1 and evaluation.ANCHOR not in codecs[0].filters:
    raise errors.InputError(
        f'{labels[0]}: cannot code with all its filters, expected a codec that '
        'does to compare others with')


def run(codec: str, results: Sequence[evaluation.SequenceResult]) -> Run:
  """Computes the BD-rates of one codec's evaluation."""
  anchors = [state for state in (evaluation.ANCHOR, evaluation.UNFILTERED)
             if state in results[0].points]
  return Run(codec, results, _rows(results, anchors))


def across(runs: Sequence[Run]) -> Run:
  """Compares all codecs with the first one, all of its filters on.

  Args:
    runs: of the same sequences and QPs, whose results have that state.

  Returns:
    A run whose states are named by `state_name`.
  """
  anchor = state_name(runs[0].codec, evaluation.ANCHOR)
  results = joined(runs)
  return Run('all codecs', results, _rows(results, [anchor]))


def joined(runs: Sequence[Run], leave_out: Sequence[str] = ()
           ) -> list[evaluation.SequenceResult]:
  """Joins several codecs' points of each sequence.

  Args:
    runs: of the same sequences and QPs.
    leave_out: states of every codec.

  Returns:
    Results whose states are named by `state_name`.
  """
  return [
      dataclasses.replace(parts[0], points={
          state_name(one.codec, state): points
          for one, part in zip(runs, parts)
          for state, points in part.points.items() if state not in leave_out})
      for parts in zip(*(one.results for one in runs))]


def state_name(codec: str, state: str) -> str:
  """Returns what a codec's state is called among several codecs."""
  return f'{codec}, {state}'


def _rows(results, anchors):
  points = [point for result in results for by_qp in result.points.values()
            for point in by_qp.values()]
  measures = [measure for measure in evaluation.MEASURES if any(
      not math.isnan(value) for point in points
      for value in evaluation.values_of(point, measure))]
  return [row for against in anchors for measure in measures
          for row in evaluation.bd_rates(results, against, measure=measure)]


def time_ratios(results: Sequence[evaluation.SequenceResult], state: str,
                against: str) -> tuple[float | None, float | None]:
  """Returns encoding and decoding time over another state's, in percent.

  The geometric mean over sequences and QPs, as JVET takes it; None where a
  time was not measured.
  """
  pairs = [(result.points[state][qp], result.points[against][qp])
           for result in results for qp in result.points[state]]
  return tuple(_ratio([(getattr(own, key), getattr(other, key))
                       for own, other in pairs])
               for key in ('encode_s', 'decode_s'))


def _ratio(pairs):
  if any(None in pair for pair in pairs):
    return None
  return 100 * math.exp(math.fsum(
      math.log(own / other) for own, other in pairs) / len(pairs))


@dataclasses.dataclass(frozen=True)
class Report:
  """All that tables and pages are made of: the first run is the main codec's.

  `kmac_per_pixel` is by filter name: thousands of multiplications for a luma
  pixel with its chroma's share.
  """
  runs: Sequence[Run]
  kmac_per_pixel: Mapping[str, float] = dataclasses.field(default_factory=dict)

  @functools.cached_property
  def across(self) -> Run | None:
    """`across` of the runs where there are several."""
    return across(self.runs) if len(self.runs) > 1 else None
