"""Random integer filters that change pictures a lot."""

import dataclasses

import numpy as np

from cnn_loopfilter import integer_graph
from cnn_loopfilter import runtime

# One filter that floats sum as it is, one by halves, one for 10 bits, ...
CASES = {
    'plain': {'output_bits': 8},
    'split': {'output_bits': 16},
    'deep': {'output_bits': 11, 'depth': 10},
    'wide_kernel': {'output_bits': 9, 'kernel': 5, 'widths': (6, 1)},
    'bytes': {'output_bits': 9, 'widths': (20, 12, 6, 1)},
    'coarse_weights': {'output_bits': 8, 'weight_bits': 4},
    # Its first layer shifts to the left.
    'int32': {'output_bits': 26, 'weight_bits': 3, 'widths': (2, 2, 1),
              'kernel': 1},
}
# More, for runtimes that are tested less often.
MORE_CASES = CASES | {
    'deepest': {'depth': 16, 'output_bits': 16, 'weight_bits': 4},
    'wide_weights': {'weight_bits': 14, 'output_bits': 10, 'widths': (4, 1)},
}


def random_filter(seed=0, *, widths=(12, 8, 1), output_bits=8, depth=8,
                  weight_bits=8, kernel=3, residual_bits=3, with_vector=False):
  """Makes a filter whose outputs are large and sometimes clamped.

  Weights are spread over their bit width; each output's length is such that
  the root mean square of the sums fills about a third of the range.
  """
  rng = np.random.default_rng(seed)
  layers, inputs, fl, size = [], 2, depth, 2.0 ** (depth - 1)
  for i, outputs in enumerate(widths):
    last = i == len(widths) - 1
    shape = [kernel, kernel, inputs, outputs]
    high = 2 ** (weight_bits - 1) - 1
    weights = np.clip(np.rint(rng.normal(0, high / 3, shape)), -high, high)
    root = high / 3 * size * np.sqrt(kernel * kernel * inputs)
    bits = max(16, output_bits) if last else output_bits
    # The last one reaches some 30 samples.
    wanted = (30.0 * 2 ** (depth - 8 + residual_bits) if last
              else 2.0 ** (bits - 1) / 3)
    shift = int(np.rint(np.log2(root / wanted)))
    weight_fl = 7
    output_fl = fl + weight_fl - shift
    if last:
      weight_fl += depth + residual_bits - output_fl
      output_fl = depth + residual_bits
    bias_fl = fl + weight_fl - max(shift - 6, 0)
    layers.append(integer_graph.Layer(
        weights.astype(np.int32),
        np.rint(rng.normal(0, 16, outputs)).astype(np.int32),
        weight_fl, bias_fl, output_fl, weight_bits, 16, bits, not last))
    inputs, fl, size = outputs, output_fl, wanted
  filter_ = integer_graph.IntegerFilter(depth, tuple(layers),
                                        {'seed': seed})
  return with_answer(filter_) if with_vector else filter_


def with_answer(filter_, height=9, width=14):
  """Returns the filter with a known answer."""
  rec, qp = random_planes(filter_, 2, height, width)
  reference = runtime.Reference(filter_)
  vector = integer_graph.TestVector(
      rec, qp, reference.residual(rec, qp).astype(np.int32),
      reference.filter_batch(rec, qp))
  return dataclasses.replace(filter_, vector=vector)


def random_planes(filter_, batch, height, width, seed=1):
  """Noise over the whole range with QPs of 0 to 51."""
  rng = np.random.default_rng(seed)
  shape = [batch, height, width, 1]
  return (rng.integers(0, 2 ** filter_.depth, shape).astype(np.int32),
          rng.integers(0, 52, batch).astype(np.int32))


def clamping_filter():
  """Shifts samples so far to the left that 26 bits are clamped at 2^25 - 1.

  The second layer takes 2^25 away: a sample above 31 gives a residual of -1,
  but of 0 to a runtime that rounds the limit to 24 bits.
  """
  def layer(weights, bias, bias_fl, output_bits, relu):
    return integer_graph.Layer(
        np.array(weights, np.int32).reshape(1, 1, -1, 1),
        np.array([bias], np.int32), 0, bias_fl, 28, 8, 16, output_bits, relu)
  return integer_graph.IntegerFilter(
      8, (layer([1, 0], 0, 8, 26, True), layer([1], -2 ** 9, 12, 27, False)))
