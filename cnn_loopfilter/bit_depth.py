"""A filter of 8-bit samples for video of more bits: the same integers.

A filter reads sample / 2^depth, so its weights mean the same at any depth. In
the integer filter `depth` is the fractional length of the input and nothing
else: with k more bits the first layer's accumulator has k more fractional
bits and is shifted down by k more, the later layers stay as they are, and the
residual has k fractional bits less below the finer grid of the samples. Of
8-bit content shifted up by k every layer's outputs are bit for bit those of
the 8-bit filter, as the k digits are zeros; the residual is rounded to the
finer grid.
"""

import dataclasses

from cnn_loopfilter import errors
from cnn_loopfilter import integer_graph
from cnn_loopfilter import known_answer


def at_depth(filter_: integer_graph.IntegerFilter,
             depth: int) -> integer_graph.IntegerFilter:
  """Returns the filter for samples of `depth` bits.

  Args:
    filter_: made for as many bits or fewer.
    depth: wanted.

  Returns:
    The same filter where it has that depth; else the filter of more bits,
    with a known answer of its own where `filter_` has one.

  Raises:
    InputError: for fewer bits, which would lose digits of the input, or if
      too few bits are left below the samples' grid.
  """
  if depth == filter_.depth:
    return filter_
  if depth < filter_.depth:
    raise errors.InputError(
        f'depth: got video of {depth} bits, expected {filter_.depth} or more, '
        'as the filter was made for')
  try:
    deeper = dataclasses.replace(filter_, depth=depth, vector=None)
  except errors.InputError as error:
    raise errors.InputError(f'a filter of {filter_.depth} bits cannot filter '
                            f'video of {depth}: {error}') from error
  return deeper if filter_.vector is None else known_answer.added(deeper)
