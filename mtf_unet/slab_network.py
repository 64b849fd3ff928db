"""The 3D UNet as stages for slabs, from `architecture`'s list of layers.

With batch norm a slab goes through all stages at once; with instance norm each
norm waits for the statistics of the whole volume, so that the stages between
two norms run one after the other. Skip connections wait in queues, and where
they wait in a file, so does what a norm has to wait for.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import math

import numpy as np

from mtf_unet import architecture
from mtf_unet import config as config_lib
from mtf_unet import slab_kernels
from mtf_unet import slab_stages
from mtf_unet import slab_store


def waiting_bytes(layers: Sequence[architecture.Layer], size: Sequence[int],
                  itemsize: int) -> int:
  """Returns what waits at most with instance norm: an activation a level.

  On the way down a level's skip connection is there, on the way up what has
  been made of it; all else is one slab.

  Args:
    layers: of the network.
    size: voxels of the volume along its three axes.
    itemsize: bytes of a number.
  """
  largest = {layer.level: layer.outputs for layer in layers
             if layer.kind == architecture.CONVOLUTION}
  return sum(itemsize * channels * math.prod(_edges(size, level))
             for level, channels in largest.items())


def _edges(size, level):
  return [edge >> level for edge in size]


class Work:
  """Tells how much of the network's arithmetic is done.

  Args:
    layers: of the network.
    size: voxels of the volume along its three axes, slices first.
    show: called with the share that is done, above 0 to 1.
  """

  def __init__(self, layers: Sequence[architecture.Layer], size: Sequence[int],
               show: Callable[[float], None]):
    self._size, self._show = size, show
    self._done = 0
    self._total = sum(self._of(layer, size[0] >> layer.level)
                      for layer in layers)

  def _of(self, layer, slices):
    """Multiplications of a layer for so many slices of its result."""
    edges = _edges(self._size, layer.level)[1:]
    taps = (layer.kernel // layer.stride) ** 3
    return slices * math.prod(edges) * taps * layer.inputs * layer.outputs

  def add(self, layer: architecture.Layer, slices: int) -> None:
    """Counts slices of a layer's result as done."""
    self._done += self._of(layer, slices)
    self._show(self._done / self._total)


class Builder:
  """Makes the stages of one pass over one volume.

  Args:
    config: the architecture.
    kernels: its layers.
    weights: by the names of `architecture.variables`.
    head: maps (slab, kernel, bias) to what is wanted of the logits.
    store: where skip connections and, with instance norm, whole activations
      wait.
    work: counts what is done.
  """

  def __init__(self, config: config_lib.NetworkConfig,
               kernels: slab_kernels.Kernels, weights: Mapping[str, np.ndarray],
               head: Callable[..., np.ndarray], store: slab_store.Store,
               work: Work):
    self._config, self._kernels, self._weights = config, kernels, weights
    self._final, self._store, self._work = head, store, work
    self._skips = {}

  def stages(self, layers: Sequence[architecture.Layer]
             ) -> list[slab_stages.Stage]:
    """Returns the stages of all layers."""
    build = {architecture.CONVOLUTION: self._convolution,
             architecture.POOL: self._pool, architecture.UP: self._up,
             architecture.JOIN: self._join, architecture.HEAD: self._head}
    return [stage for layer in layers for stage in build[layer.kind](layer)]

  def _weight(self, layer, name):
    return self._weights[f'{layer.name}/{name}']

  def _counted(self, layer, function, *weights):
    """A function of slabs that counts what it has made."""
    def counted(slab):
      result = function(slab, *weights)
      self._work.add(layer, len(result))
      return result
    return counted

  def _convolution(self, layer) -> Iterator[slab_stages.Stage]:
    yield slab_stages.Windowed(
        self._counted(layer, self._kernels.convolve,
                      self._weight(layer, 'kernel')), layer.kernel // 2)
    yield self._norm(layer)

  def _norm(self, layer):
    gamma, beta = (self._weight(layer, name) for name in ('gamma', 'beta'))

    def normalize(slab, mean, variance):
      scale = gamma / np.sqrt(variance + self._config.epsilon)
      return self._kernels.activate(slab, scale, beta - mean * scale)
    if self._config.normalization == 'instance':
      return slab_stages.WholeStatistics(
          self._kernels.moments, normalize, slab_store.Queue(self._store))
    mean, variance = (self._weight(layer, name)
                      for name in ('moving_mean', 'moving_variance'))
    return slab_stages.Pointwise(lambda slab: normalize(slab, mean, variance))

  def _pool(self, layer) -> Iterator[slab_stages.Stage]:
    queue = self._skips[layer.level - 1] = slab_store.Queue(self._store)
    yield slab_stages.Remember(queue)
    yield slab_stages.Paired(self._kernels.pool)

  def _up(self, layer) -> Iterator[slab_stages.Stage]:
    yield slab_stages.Pointwise(self._counted(
        layer, self._kernels.spread, self._weight(layer, 'kernel')))

  def _join(self, layer) -> Iterator[slab_stages.Stage]:
    yield slab_stages.Join(self._skips.pop(layer.level))

  def _head(self, layer) -> Iterator[slab_stages.Stage]:
    yield slab_stages.Pointwise(self._counted(
        layer, self._final, *(self._weight(layer, name)
                              for name in ('kernel', 'bias'))))
