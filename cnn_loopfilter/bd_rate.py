"""Bjontegaard delta rate, as JVET computes it: PCHIP through the points."""

from collections.abc import Sequence
import math
import warnings

import bjontegaard

from cnn_loopfilter import errors

# JVET's common test conditions have four QPs; fewer give no curve to trust.
LEAST_POINTS = 4


def bd_rate(anchor_bits: Sequence[float], anchor_psnr: Sequence[float],
            test_bits: Sequence[float], test_psnr: Sequence[float]) -> float:
  """Returns the mean difference in rate at equal PSNR.

  The mean over PSNR of log10 rate, test minus anchor, on the range that both
  curves cover (as percent: 100 (10^mean - 1)); both curves are interpolated by
  piecewise cubic Hermite polynomials (PCHIP).

  Args:
    anchor_bits: bits at each QP, in any order.
    anchor_psnr: dB at each QP.
    test_bits: the same of what is measured.
    test_psnr: the same of what is measured.

  Returns:
    Percent; below 0 the test needs fewer bits.

  Raises:
    InputError: for fewer than four points, curves that do not rise or do not
      overlap, or an infinite PSNR.
  """
  anchor = _curve('anchor', anchor_bits, anchor_psnr)
  test = _curve('test', test_bits, test_psnr)
  low = max(anchor[1][0], test[1][0])
  high = min(anchor[1][-1], test[1][-1])
  if low >= high:
    raise errors.InputError(
        f'BD-rate: the curves do not overlap: PSNR {anchor[1][0]:.2f} to '
        f'{anchor[1][-1]:.2f} dB against {test[1][0]:.2f} to '
        f'{test[1][-1]:.2f} dB')
  with warnings.catch_warnings():
    # Of curves that overlap in part only; they are compared on that part.
    warnings.simplefilter('ignore')
    return float(bjontegaard.bd_rate(
        *anchor, *test, method='pchip', require_matching_points=False,
        min_overlap=0))


def _curve(name, bits, psnr):
  if len(bits) != len(psnr) or len(bits) < LEAST_POINTS:
    raise errors.InputError(
        f'BD-rate: got {len(bits)} rates and {len(psnr)} PSNRs of the {name}, '
        f'expected {LEAST_POINTS} or more of each')
  points = sorted(zip(bits, psnr))
  if not all(math.isfinite(value) for point in points for value in point) or (
      points[0][0] <= 0):
    raise errors.InputError(
        f'BD-rate: got {points} of the {name}, expected rates above 0 and '
        'finite PSNRs')
  bits, psnr = zip(*points)
  if not all(a < b for curve in (bits, psnr)
             for a, b in zip(curve, curve[1:])):
    raise errors.InputError(
        f'BD-rate: got {points} of the {name}, expected a PSNR that rises '
        'with the rate')
  return list(bits), list(psnr)
