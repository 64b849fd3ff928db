"""Dynamic fixed point: a value is an integer q times 2^-fl.

The fractional length fl belongs to a whole tensor and may be negative. The
rule is the one of arXiv:1805.06121 and of its authors' inference code: clamp
to the bit width, then round half to even.
"""

import numpy as np


def limits(bits: int) -> tuple[int, int]:
  """Returns the least and the largest integer of `bits` bits, sign included."""
  return -2 ** (bits - 1), 2 ** (bits - 1) - 1


def quantize(values: np.ndarray, bits: int, fl: int) -> np.ndarray:
  """Rounds values to integers q of a bit width: clamp(round(value * 2^fl)).

  Halves go to the even neighbour. Clamping first, as the authors do, gives the
  same integers, because both limits are integers themselves.

  Args:
    values: finite or infinite floats.
    bits: width of q, sign included.
    fl: fractional length; may be negative.

  Returns:
    int64, same shape.
  """
  scaled = np.ldexp(np.asarray(values, np.float64), fl)
  return np.clip(np.rint(scaled), *limits(bits)).astype(np.int64)


def dequantize(integers: np.ndarray, fl: int) -> np.ndarray:
  """Returns the values q * 2^-fl as float64."""
  return np.ldexp(np.asarray(integers, np.float64), -fl)


def rounding_shift(integers: np.ndarray, shift: int) -> np.ndarray:
  """Divides integers by 2^shift, halves to even; by a negative one multiplies.

  (v + 2^(shift-1) - 1 + bit `shift` of v) >> shift is the nearest integer:
  what is added carries over the middle, and at the middle only where the
  quotient is odd. Nothing is checked for overflow.

  Args:
    integers: any signed integer type; the result has the same.
    shift: -30 to 30.
  """
  if shift <= 0:
    return integers << -shift
  odd = (integers >> shift) & 1
  return (integers + (2 ** (shift - 1) - 1) + odd) >> shift


def integer_length(largest: float, *, parameter: bool) -> int:
  """Returns Ristretto's integer length il, sign included; fl = bits - il.

  Args:
    largest: the largest magnitude of the tensor, finite; 0 counts as tiny.
    parameter: il = ceil(log2(largest) + 1) for weights and biases, else
      ceil(log2(largest)) for outputs, whose largest values may be clamped.
  """
  exponent = np.log2(max(float(largest), 2.0 ** -40))
  return int(np.ceil(exponent + 1 if parameter else exponent))
