"""A trained network as plain arrays: what training hands to the codec's side.

NumPy alone reads it. The network takes sample / 2^depth and qp / 64 and
returns a residual in units of sample / 2^depth:

  x = [sample / 2^depth, qp / 64]
  x = relu(norm(conv(x) + bias))             for every layer but the last
  filtered = clip(sample / 2^depth + residual_scale (conv(x) + bias))
"""

import dataclasses
import json
import os
import zipfile

import numpy as np

from cnn_loopfilter import atomic_file
from cnn_loopfilter import errors

# The paper only says that both inputs lie in [0, 1]. 64 is exact in binary
# and also covers the QPs of newer codecs, which go to 63.
QP_RANGE = 64

_FORMAT = 'cnn_loopfilter float filter'
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class BatchNorm:
  """y = scale (x - mean) / sqrt(variance + epsilon) + offset; [out] each."""
  scale: np.ndarray
  offset: np.ndarray
  mean: np.ndarray
  variance: np.ndarray
  epsilon: float

  @property
  def gain(self) -> np.ndarray:
    """What the input is multiplied by, float64 [out]."""
    return self.scale / np.sqrt(self.variance.astype(np.float64)
                                + self.epsilon)


@dataclasses.dataclass(frozen=True)
class Layer:
  """A convolution of stride 1, zero padded to keep the size.

  Attributes:
    kernel: float32 [edge, edge, in, out]; a correlation, not flipped.
    bias: float32 [out].
    norm: applied to convolution plus bias; or None.
    relu: whether negative outputs become zero.
  """
  kernel: np.ndarray
  bias: np.ndarray
  norm: BatchNorm | None = None
  relu: bool = True

  def folded(self) -> 'Layer':
    """Returns the same layer with its norm moved into kernel and bias."""
    if self.norm is None:
      return self
    gain = self.norm.gain
    bias = (self.bias - self.norm.mean.astype(np.float64)) * gain
    return Layer((self.kernel * gain).astype(np.float32),
                 (bias + self.norm.offset).astype(np.float32), None, self.relu)


@dataclasses.dataclass(frozen=True)
class FloatFilter:
  """A whole network.

  Attributes:
    layers: first to last; the first has 2 inputs, the last 1 output.
    residual_scale: factor of the last layer's output, a power of two.
    depth: bits of the samples that it was trained on.
    description: JSON-able; where the weights come from.
  """
  layers: tuple[Layer, ...]
  residual_scale: float
  depth: int = 8
  description: dict = dataclasses.field(default_factory=dict)

  @property
  def widths(self) -> tuple[int, ...]:
    """Outputs of every layer; the last is 1."""
    return tuple(layer.kernel.shape[-1] for layer in self.layers)

  @property
  def macs_per_sample(self) -> int:
    """Multiplications for one sample of one component."""
    return sum(layer.kernel.size for layer in self.layers)

  def folded(self) -> 'FloatFilter':
    """Returns the same filter without norms."""
    return dataclasses.replace(
        self, layers=tuple(layer.folded() for layer in self.layers))

  def save(self, path: str | os.PathLike) -> None:
    """Writes an .npz of arrays and one JSON text; whole or not at all."""
    header = {'format': _FORMAT, 'version': _VERSION,
              'layers': [{'relu': layer.relu, 'norm': layer.norm is not None}
                         for layer in self.layers],
              'residual_scale': self.residual_scale, 'depth': self.depth,
              'description': self.description}
    arrays = {'header': np.array(json.dumps(header))}
    for i, layer in enumerate(self.layers):
      arrays |= {f'{i}/kernel': layer.kernel, f'{i}/bias': layer.bias}
      if layer.norm is not None:
        arrays |= {f'{i}/{key}': np.asarray(value) for key, value
                   in dataclasses.asdict(layer.norm).items()}
    with atomic_file.replacing(path) as stream:
      np.savez(stream, **arrays)


def load(path: str | os.PathLike) -> FloatFilter:
  """Reads what `FloatFilter.save` wrote.

  Raises:
    InputError: if the file is no float filter, of another version, or its
      arrays do not fit together.
    OSError: if it cannot be read.
  """
  try:
    with np.load(path, allow_pickle=False) as arrays:
      return _parse(path, dict(arrays))
  except (ValueError, KeyError, TypeError, EOFError, IndexError,
          AttributeError, zipfile.BadZipFile) as error:
    if isinstance(error, errors.InputError):
      raise
    raise errors.InputError(
        f'{path}: not a float filter ({error}), expected an .npz that '
        'train.py --mode=export has written') from error


def _parse(path, arrays):
  header = json.loads(str(arrays['header']))
  if header['format'] != _FORMAT or header['version'] != _VERSION:
    raise errors.InputError(
        f'{path}: got {header["format"]} version {header["version"]}, '
        f'expected {_FORMAT} version {_VERSION}')
  layers, inputs = [], 2
  for i, told in enumerate(header['layers']):
    kernel = arrays[f'{i}/kernel']
    vectors = {'bias': arrays[f'{i}/bias']}
    if told['norm']:
      vectors |= {key: arrays[f'{i}/{key}'] for key in
                  ('scale', 'offset', 'mean', 'variance')}
    _check(path, i, kernel, vectors, inputs)
    bias = vectors.pop('bias')
    norm = (BatchNorm(**vectors, epsilon=float(arrays[f'{i}/epsilon']))
            if told['norm'] else None)
    layers.append(Layer(kernel, bias, norm, bool(told['relu'])))
    inputs = kernel.shape[-1]
  if inputs != 1 or not layers:
    raise errors.InputError(
        f'{path}: the last layer has {inputs} outputs, expected 1')
  return FloatFilter(tuple(layers), float(header['residual_scale']),
                     int(header['depth']), dict(header['description']))


def _check(path, index, kernel, vectors, inputs):
  shapes_fit = (kernel.ndim == 4 and kernel.shape[0] == kernel.shape[1]
                and kernel.shape[0] % 2 == 1 and kernel.shape[2] == inputs
                and all(v.shape == kernel.shape[3:] for v in vectors.values()))
  arrays = [kernel, *vectors.values()]
  if not shapes_fit or any(a.dtype != np.float32 for a in arrays):
    raise errors.InputError(
        f'{path}: layer {index} has arrays of shapes '
        f'{[a.shape for a in arrays]}, expected float32 that fit '
        f'{inputs} inputs')
  if not all(np.isfinite(a).all() for a in arrays):
    raise errors.InputError(
        f'{path}: layer {index} has weights that are not finite')
