"""The exported filter: integers, fractional lengths, and what they can reach.

docs/dfp-format.md specifies the arithmetic. Every runtime reads the shifts and
limits of its steps from `plan`, so that they are derived in one place, and no
filter gets here whose sums could leave int32. NumPy alone is needed.
"""

from collections.abc import Mapping
import dataclasses
import functools

import numpy as np

from cnn_loopfilter import dfp
from cnn_loopfilter import errors

# The plane of the QP is qp / 2^6 of the range of a sample.
QP_BITS = 6
MAX_QP = 2 ** QP_BITS - 1
MIN_DEPTH, MAX_DEPTH = 8, 16
# The residual's fractional bits below the grid of the samples.
MIN_RESIDUAL_BITS = 2
# Far above any filter that a decoder could run; they bound what a forged one
# costs before it is refused.
MAX_LAYERS, MAX_CHANNELS, MAX_KERNEL = 64, 1024, 31
MAX_VECTOR_SAMPLES = 2 ** 16

_INT32_MAX = 2 ** 31 - 1
_MAX_SHIFT = 30
_MAX_FL = 64
# Stands for every larger magnitude, so that int64 cannot overflow itself.
_HUGE = 2 ** 40


@dataclasses.dataclass(frozen=True)
class Layer:
  """A convolution of stride 1 on integers, padded with zeros to keep the size.

  Attributes:
    weights: int32 [edge, edge, in, out]; a correlation, not flipped.
    biases: int32 [out].
    weight_fl: fractional length of the weights; so bias_fl, output_fl.
    weight_bits: bit width, sign included; so bias_bits, output_bits.
    relu: whether negative outputs become zero.
  """
  weights: np.ndarray
  biases: np.ndarray
  weight_fl: int
  bias_fl: int
  output_fl: int
  weight_bits: int
  bias_bits: int
  output_bits: int
  relu: bool


@dataclasses.dataclass(frozen=True)
class Step:
  """What a runtime does for one layer; all sums fit int32.

    sum = (convolution << accumulator_shift) + (biases << bias_shift)
    output = clamp(rounding_shift(sum, output_shift), low, high)

  Attributes:
    accumulator_shift: 0 or more.
    bias_shift: 0 or more.
    output_shift: to the right; negative: to the left.
    low: least output.
    high: largest output.
    input_max: largest magnitude of each input, int64 [in].
    sum_bound: largest magnitude of `sum` for each output, int64 [out].
    bound: the same for everything that int32 holds on the way, with the left
      shift or the rounding's addend.
  """
  accumulator_shift: int
  bias_shift: int
  output_shift: int
  low: int
  high: int
  input_max: np.ndarray
  sum_bound: np.ndarray
  bound: np.ndarray


@dataclasses.dataclass(frozen=True)
class TestVector:
  """A known answer, for a runtime to check itself.

  Attributes:
    reconstruction: int32 [batch, height, width, 1].
    qp: int32 [batch].
    residual: int32, outputs of the last layer.
    filtered: int32, same shape.
  """
  __test__ = False  # pytest shall not take it for a test.
  reconstruction: np.ndarray
  qp: np.ndarray
  residual: np.ndarray
  filtered: np.ndarray


@dataclasses.dataclass(frozen=True)
class IntegerFilter:
  """A whole filter; checks itself when it is made.

  The input has 2 channels of fractional length `depth`: the sample, and
  qp * 2^(depth - 6). The last layer's output is the residual in units of
  sample / 2^depth.

  Attributes:
    depth: bits of a sample, 8 to 16.
    layers: first to last.
    description: JSON-able; where the filter comes from.
    vector: a known answer, or None.

  Raises:
    InputError: if the parts do not fit together, or naming layer, channel and
      bound, if a sum could leave int32.
  """
  depth: int
  layers: tuple[Layer, ...]
  description: Mapping = dataclasses.field(default_factory=dict)
  vector: TestVector | None = None

  def __post_init__(self):
    _check_parts(self)
    _check_bounds(self)
    if self.vector is not None:
      _check_vector(self)

  @functools.cached_property
  def plan(self) -> tuple[Step, ...]:
    """The steps of all layers."""
    input_max = np.array([2 ** self.depth - 1,
                          MAX_QP << (self.depth - QP_BITS)], np.int64)
    steps, fl = [], self.depth
    for layer in self.layers:
      steps.append(_step(layer, fl, input_max))
      fl = layer.output_fl
      input_max = np.full(layer.biases.shape,
                          max(-steps[-1].low, steps[-1].high), np.int64)
    return tuple(steps)

  @property
  def residual_bits(self) -> int:
    """Fractional bits of the residual below the grid of the samples."""
    return self.layers[-1].output_fl - self.depth

  @property
  def margin(self) -> int:
    """Samples on each side that one filtered sample depends on."""
    return sum(layer.weights.shape[0] // 2 for layer in self.layers)

  @property
  def widths(self) -> tuple[int, ...]:
    """Outputs of every layer; the last is 1."""
    return tuple(layer.weights.shape[-1] for layer in self.layers)

  @property
  def macs_per_sample(self) -> int:
    """Multiplications for one sample of one component."""
    return sum(layer.weights.size for layer in self.layers)


def _step(layer, input_fl, input_max):
  accumulator_fl = layer.weight_fl + input_fl
  sum_fl = max(accumulator_fl, layer.bias_fl)
  shifts = (sum_fl - accumulator_fl, sum_fl - layer.bias_fl,
            sum_fl - layer.output_fl)
  low, high = dfp.limits(layer.output_bits)
  magnitude = np.abs(layer.weights.astype(np.int64)).sum(axis=(0, 1))
  reach = input_max[:, None] * np.minimum(magnitude, 2 ** 31)
  reach = np.minimum(reach, _HUGE).sum(axis=0)
  sums = _shifted(reach, shifts[0]) + _shifted(
      np.abs(layer.biases.astype(np.int64)), shifts[1])
  if shifts[2] > 0:
    bounds = sums + 2 ** (min(shifts[2], _MAX_SHIFT) - 1)
  else:
    bounds = _shifted(sums, -shifts[2])
  return Step(*shifts, 0 if layer.relu else low, high, input_max, sums, bounds)


def _shifted(magnitudes, shift):
  """Shifts to the left; what leaves int32 by far already stays so."""
  return np.minimum(magnitudes, 2 ** 32) << min(shift, _MAX_SHIFT)


def _check_parts(filter_):
  if not (isinstance(filter_.depth, int)
          and MIN_DEPTH <= filter_.depth <= MAX_DEPTH):
    raise errors.InputError(f'depth: got {filter_.depth}, expected '
                            f'{MIN_DEPTH} to {MAX_DEPTH} bits')
  if len(filter_.layers) > MAX_LAYERS:
    raise errors.InputError(f'layers: got {len(filter_.layers)}, expected at '
                            f'most {MAX_LAYERS}')
  inputs = 2
  for i, layer in enumerate(filter_.layers):
    _check_layer(i, layer, inputs)
    inputs = layer.weights.shape[-1]
  if not filter_.layers or inputs != 1:
    raise errors.InputError(
        f'the last layer has {inputs} outputs, expected 1')
  if filter_.layers[-1].relu:
    raise errors.InputError('the last layer has a ReLU, expected none')


def _check_layer(i, layer, inputs):
  shape = layer.weights.shape
  if not (len(shape) == 4 and shape[0] == shape[1] and shape[0] % 2 == 1
          and shape[2] == inputs and layer.biases.shape == shape[3:]
          and shape[0] <= MAX_KERNEL and 0 < shape[3] <= MAX_CHANNELS):
    raise errors.InputError(
        f'layer {i}: weights {list(shape)} and biases '
        f'{list(layer.biases.shape)}, expected [k, k, {inputs}, out] with odd '
        f'k of at most {MAX_KERNEL}, and [out] of at most {MAX_CHANNELS}')
  for name, integers in (('weight', layer.weights), ('bias', layer.biases)):
    bits = getattr(layer, f'{name}_bits')
    low, high = dfp.limits(bits) if 2 <= bits <= 32 else (1, 0)
    if integers.min() < low or integers.max() > high:
      raise errors.InputError(
          f'layer {i}: {name} of {integers.min()} to {integers.max()}, '
          f'expected what fits {bits} bits (2 to 32)')
  if not 2 <= layer.output_bits <= 32:
    raise errors.InputError(f'layer {i}: outputs of {layer.output_bits} bits, '
                            'expected 2 to 32')
  lengths = (layer.weight_fl, layer.bias_fl, layer.output_fl)
  if max(abs(fl) for fl in lengths) > _MAX_FL:
    raise errors.InputError(f'layer {i}: fractional lengths {lengths}, '
                            f'expected -{_MAX_FL} to {_MAX_FL}')


def _check_bounds(filter_):
  for i, step in enumerate(filter_.plan):
    shifts = (step.accumulator_shift, step.bias_shift, abs(step.output_shift))
    if max(shifts) > _MAX_SHIFT:
      raise errors.InputError(
          f'layer {i}: shifts of {shifts} bits (accumulator, bias, output), '
          f'expected at most {_MAX_SHIFT}')
    channel = int(np.argmax(step.bound))
    if step.bound[channel] > _INT32_MAX:
      raise errors.InputError(
          f'layer {i}, channel {channel}: its sum can reach '
          f'{step.bound[channel]}, expected at most {_INT32_MAX} so that '
          'int32 never overflows (fewer bits, or shorter fractional lengths)')
  bits, step = filter_.residual_bits, filter_.plan[-1]
  if not MIN_RESIDUAL_BITS <= bits <= _MAX_SHIFT - filter_.depth:
    raise errors.InputError(
        f'layer {len(filter_.layers) - 1}: a residual with {bits} bits below '
        f'the sample, expected {MIN_RESIDUAL_BITS} to '
        f'{_MAX_SHIFT - filter_.depth}')
  reach = (2 ** (filter_.depth + bits)) - step.low + 2 ** (bits - 1)
  if reach > _INT32_MAX:
    raise errors.InputError(
        f'the residual sum can reach {reach}, expected at most {_INT32_MAX} '
        '(fewer bits in the last layer)')


def _check_vector(filter_):
  vector = filter_.vector
  check_input(filter_, vector.reconstruction, vector.qp)
  shape = vector.reconstruction.shape
  if not shape == vector.residual.shape == vector.filtered.shape or (
      vector.reconstruction.size > MAX_VECTOR_SAMPLES):
    raise errors.InputError(
        f'vector: got {list(shape)}, {list(vector.residual.shape)} and '
        f'{list(vector.filtered.shape)}, expected three times the same of at '
        f'most {MAX_VECTOR_SAMPLES} samples')


def check_input(filter_: IntegerFilter, reconstruction: np.ndarray,
                qp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Checks what a runtime is given, and returns it as int32.

  Args:
    filter_: the filter.
    reconstruction: integers [batch, height, width, 1], 0 to 2^depth - 1.
    qp: integers [batch], 0 to 63.

  Raises:
    InputError: naming what does not fit.
  """
  reconstruction, qp = np.asarray(reconstruction), np.asarray(qp)
  if (reconstruction.ndim != 4 or reconstruction.shape[3] != 1
      or 0 in reconstruction.shape or reconstruction.dtype.kind not in 'iu'):
    raise errors.InputError(
        f'reconstruction: got {reconstruction.dtype} '
        f'{list(reconstruction.shape)}, expected integers [batch, height, '
        'width, 1], none of them 0')
  if qp.shape != reconstruction.shape[:1] or qp.dtype.kind not in 'iu':
    raise errors.InputError(
        f'qp: got {qp.dtype} {list(qp.shape)}, expected integers '
        f'[{len(reconstruction)}]')
  largest = 2 ** filter_.depth - 1
  if reconstruction.min() < 0 or reconstruction.max() > largest:
    raise errors.InputError(
        f'reconstruction: got samples of {reconstruction.min()} to '
        f'{reconstruction.max()}, expected 0 to {largest} (this filter was '
        f'made for {filter_.depth} bits)')
  if qp.min() < 0 or qp.max() > MAX_QP:
    raise errors.InputError(f'qp: got {qp.min()} to {qp.max()}, expected 0 to '
                            f'{MAX_QP}')
  return reconstruction.astype(np.int32), qp.astype(np.int32)
