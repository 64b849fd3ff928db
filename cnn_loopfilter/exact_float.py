"""Where float32 sums a layer's integers exactly, and with which parameters.

float32 holds every integer up to 2^24, and products and sums of integers are
exact below that, in whatever order they are taken. So a convolution of float32
tensors whose values are integers is exact where no sum of magnitudes leaves 24
bits, which a layer's weights prove. Otherwise the activations are taken apart,

    x = x[0] + x[1] 2^k + x[2] 2^2k + ...,  0 <= x[i] < 2^k but in the last,

so that it holds for each part; docs/dfp-format.md, "Runtimes". NumPy alone is
needed: all that run or write float convolutions share this.
"""

import numpy as np

from cnn_loopfilter import errors
from cnn_loopfilter import integer_graph

# Largest integer below which float32 holds every integer.
EXACT = 2 ** 24


def split_bits(layer: integer_graph.Layer, step: integer_graph.Step
               ) -> int | None:
  """Says how float32 can do a layer exactly, from inputs to outputs.

  Returns:
    0: as it is. k: after x = 2^k high + low, 0 <= low < 2^k, one half at a
    time. None: not at all.
  """
  if max(int(step.input_max.max()), step.high) >= EXACT or (
      largest_row(layer) > EXACT):
    return None
  bits, count = parts(layer, step)
  return bits if count <= 2 else None


def parts(layer: integer_graph.Layer, step: integer_graph.Step
          ) -> tuple[int, int]:
  """Says into how many parts of how many bits the inputs have to be taken.

  Returns:
    Bits and count: (0, 1) where the layer is exact as it is; with the fewest
    parts, and then the fewest bits.

  Raises:
    InputError: if the weights of one output alone can leave 24 bits.
  """
  if step.sum_bound.max() <= EXACT:
    return 0, 1
  magnitude = largest_row(layer)
  if magnitude > EXACT:
    raise errors.InputError(
        f'weights of one output sum up to {magnitude}, expected at most '
        f'{EXACT} for a float32 convolution')
  largest = int(step.input_max.max())
  for count in range(2, 33):
    for bits in range(1, 32):
      # The last part of a negative number is rounded down.
      top = (largest >> bits * (count - 1)) + 1
      if magnitude * max(2 ** bits - 1, top) <= EXACT:
        return bits, count
  raise AssertionError('32 parts of one bit are all of an int32')


def largest_row(layer: integer_graph.Layer) -> int:
  """Returns the largest sum of magnitudes of one output's weights."""
  return int(np.abs(layer.weights.astype(np.int64)).sum(axis=(0, 1, 2)).max())


def scaled(layer: integer_graph.Layer, step: integer_graph.Step
           ) -> tuple[np.ndarray, np.ndarray]:
  """Returns float32 weights and biases of a layer that is exact as it is.

  The powers of two between sum and output are put into them, which changes no
  digit; what is left are convolution, bias, rounding half to even, clamp.
  """
  scale = 2.0 ** -step.output_shift
  return (np.ldexp(layer.weights.astype(np.float32) * np.float32(scale),
                   step.accumulator_shift),
          np.ldexp(layer.biases.astype(np.float32) * np.float32(scale),
                   step.bias_shift))
