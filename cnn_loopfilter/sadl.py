"""An exported filter by the rules of SADL, the library of JVET's NNVC.

SADL (version 4 of its public sources) holds weights and activations in int16;
a tensor has a *quantizer* q and stands for integers times 2^-q. Conv2D sums in
int32, shifts to the right by weights' q + its own q, rounding down, and clamps
to +-32767; BiasAdd adds int16 and clamps again. So three things differ from
docs/dfp-format.md:

* rounding is down, not to the nearest;
* biases have the layer's output's length, not their own;
* nothing is clamped but at +-32767.

`convert` can use the room that int16 leaves: activations get so many more
fractional bits that SADL's clamp lies where the filter's own is, which also
makes the loss by rounding down small. `Simulation` is this arithmetic in NumPy.
"""

import dataclasses

import numpy as np

from cnn_loopfilter import dfp
from cnn_loopfilter import errors
from cnn_loopfilter import integer_graph

LARGEST = 2 ** 15 - 1
_INT32_MAX = 2 ** 31 - 1


@dataclasses.dataclass(frozen=True)
class Layer:
  """Conv2D, BiasAdd and perhaps Relu.

  Attributes:
    weights: int16 [edge, edge, in, out].
    biases: int16 [out], of the quantizer `output_q`.
    weight_q: quantizer of the weights, 0 or more.
    output_q: quantizer of the outputs, 0 or more.
    relu: whether negative outputs become zero.
  """
  weights: np.ndarray
  biases: np.ndarray
  weight_q: int
  output_q: int
  relu: bool


@dataclasses.dataclass(frozen=True)
class Model:
  """A whole filter; input [height, width, 2] and residual as in IntegerFilter.

  Attributes:
    depth: bits of a sample, and the quantizer of the input.
    layers: first to last.
  """
  depth: int
  layers: tuple[Layer, ...]

  def conv_q(self, i: int) -> int:
    """Returns the quantizer of Conv2D itself: input's minus output's."""
    before = self.layers[i - 1].output_q if i else self.depth
    return before - self.layers[i].output_q

  @property
  def residual_bits(self) -> int:
    """Fractional bits of the residual below the grid of the samples."""
    return self.layers[-1].output_q - self.depth


def convert(filter_: integer_graph.IntegerFilter, *,
            use_room: bool = True) -> Model:
  """Converts a filter.

  Args:
    filter_: the filter.
    use_room: fill int16 with more fractional bits; else keep all lengths.

  Raises:
    InputError: if something does not fit int16, a length is negative, or the
      int32 sums could overflow.
  """
  if filter_.depth > 15:
    raise errors.InputError(f'depth: got {filter_.depth}, expected at most 15 '
                            'for samples in int16')
  layers, input_q = [], filter_.depth
  reach = 2 ** filter_.depth - 1
  for i, layer in enumerate(filter_.layers):
    output_q = _output_q(layer, input_q, use_room)
    biases = _biases(layer, output_q)
    made = Layer(layer.weights.astype(np.int16), biases, layer.weight_fl,
                 output_q, layer.relu)
    reach = _checked_reach(i, layer, made, input_q, reach)
    layers.append(dataclasses.replace(made, biases=biases.astype(np.int16)))
    input_q = output_q
  return Model(filter_.depth, tuple(layers))


def _output_q(layer, input_q, use_room):
  """Chooses the quantizer of a layer's outputs."""
  # A left shift between sum and output has no counterpart.
  largest = layer.weight_fl + input_q
  if not use_room and layer.output_bits <= 16:
    return min(layer.output_fl, largest)
  output_q = min(layer.output_fl + 16 - layer.output_bits, largest)
  while output_q > layer.output_fl and (
      np.abs(_biases(layer, output_q)).max() > LARGEST):
    output_q -= 1
  return output_q


def _biases(layer, output_q):
  """The biases with the outputs' length, int64."""
  # Rounding down loses half a step on average, so half a step is added.
  return np.floor(np.ldexp(layer.biases.astype(np.float64),
                           output_q - layer.bias_fl) + 1.0).astype(np.int64)


def _checked_reach(i, layer, made, input_q, reach):
  """Checks one layer; returns the largest magnitude of its outputs."""
  for name, quantizer in (('weights', made.weight_q),
                          ('outputs', made.output_q),
                          ('shift', made.weight_q + input_q - made.output_q)):
    if not 0 <= quantizer <= 31:
      raise errors.InputError(f'layer {i}: a quantizer of {quantizer} for the '
                              f'{name}, expected 0 to 31')
  for name, integers in (('weights', layer.weights), ('biases', made.biases)):
    if np.abs(integers.astype(np.int64)).max() > LARGEST:
      raise errors.InputError(f'layer {i}: {name} beyond +-{LARGEST}')
  rows = np.abs(layer.weights.astype(np.int64)).sum(axis=(0, 1, 2))
  largest = int(rows.max()) * reach
  if largest > _INT32_MAX:
    raise errors.InputError(f'layer {i}: its sum can reach {largest}, expected '
                            f'at most {_INT32_MAX}')
  sums = largest >> (made.weight_q + input_q - made.output_q)
  return min(LARGEST, sums + 1 + int(np.abs(made.biases).max()))


class Simulation:
  """SADL's arithmetic; sample and residual are joined as the format says.

  Args:
    model: the filter.
  """

  def __init__(self, model: Model):
    self.model, self.depth = model, model.depth

  def residual(self, plane: np.ndarray, qp: int) -> np.ndarray:
    """Returns the network's output, int64 [height, width].

    Args:
      plane: integers [height, width], 0 to 2^depth - 1.
      qp: 0 to 63.
    """
    qps = np.full_like(plane, 0, np.int64) + (
        qp << (self.depth - integer_graph.QP_BITS))
    x = np.stack([plane.astype(np.int64), qps], axis=-1)
    for i, layer in enumerate(self.model.layers):
      shift = layer.weight_q + self.model.conv_q(i)
      x = _saturated(_sums(x, layer.weights) >> shift)
      x = _saturated(x + layer.biases)
      x = np.maximum(x, 0) if layer.relu else x
    return x[..., 0]

  def filter_plane(self, plane: np.ndarray, qp: int) -> np.ndarray:
    """Filters one component; keeps the type of the samples."""
    bits = self.model.residual_bits
    total = (plane.astype(np.int64) << bits) + self.residual(plane, qp)
    return np.clip(dfp.rounding_shift(total, bits), 0,
                   2 ** self.depth - 1).astype(plane.dtype)


def _saturated(x):
  return np.clip(x, -LARGEST, LARGEST)


def _sums(x, weights):
  """Correlates with zero padding; int64 [height, width, out].

  float64 holds sums of int32 exactly and is multiplied much faster.
  """
  edge, (height, width, _) = weights.shape[0], x.shape
  radius = edge // 2
  x = np.pad(x.astype(np.float64), [(radius, radius), (radius, radius), (0, 0)])
  kernel = weights.astype(np.float64)
  return sum(x[i:i + height, j:j + width] @ kernel[i, j]
             for i in range(edge) for j in range(edge)).astype(np.int64)
