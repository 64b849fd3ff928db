"""Whole volumes in flat memory: slab by slab, with the result of one pass.

Not an approximation by overlapping windows: a volume flows through the network
along its longest axis (`slab_stages`), every layer reading the slices that its
filter reaches, and its own zeros beyond the volume's ends. Each number is
computed once. With batch norm there are as many slices in memory as the
network's filters reach, whatever the volume's length; with instance norm,
whose statistics are those of the whole volume, activations wait in a temporary
file. docs/slab-prediction.md says why, and what it takes.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses

import numpy as np

from mtf_unet import architecture
from mtf_unet import config as config_lib
from mtf_unet import model
from mtf_unet import slab_kernels
from mtf_unet import slab_network
from mtf_unet import slab_stages
from mtf_unet import slab_store
from mtf_unet import trained_weights

# Thick enough to keep all threads busy, thin beside the slices that wait for
# the decoder: eight slices of 512 x 512.
_VOXELS = 2 ** 21


@dataclasses.dataclass(frozen=True)
class Workspace:
  """What a prediction by slabs uses beside its memory.

  Attributes:
    folder: of temporary files; None for the system's choice.
    show: called with the share of a volume's work that is done, up to 1.
  """
  folder: str | None = None
  show: Callable[[float], None] = lambda share: None


class SlabPredictor:
  """Maps images of one size to probabilities or labels.

  Args:
    config: the experiment.
    size: voxels along x, y, z; each a multiple of `network.size_multiple`.
    workspace: temporary files and progress.
  """

  def __init__(self, config: config_lib.Config, size: Sequence[int],
               workspace: Workspace):
    self._config, self._workspace = config, workspace
    self._axis = int(np.argmax(size))
    self._size = _slices_first(size, self._axis)
    self._layers = architecture.layers(
        config.network, model.image_channels(config), config.data.num_classes)
    self._kernels = slab_kernels.Kernels(config.network)
    self._weights = None

  def restore(self, checkpoint: str) -> None:
    """Loads weights from a checkpoint's path prefix.

    Raises:
      InputError: if it is damaged or holds another network.
    """
    weights = trained_weights.read(checkpoint, self._config)
    self._weights = {
        name: np.swapaxes(value, 0, self._axis) if value.ndim > 1 else value
        for name, value in weights.items()}

  def probabilities(self, image: np.ndarray) -> np.ndarray:
    """Computes class probabilities.

    Args:
      image: float32 [x, y, z, channels] of the predictor's size.

    Returns:
      float32 [x, y, z, classes].

    Raises:
      InputError: with instance norm, if the disk has too little room.
    """
    result = np.empty((*self._size, self._config.data.num_classes), np.float32)
    return self._fill(result, image, self._kernels.classify)

  def labels(self, image: np.ndarray) -> np.ndarray:
    """Computes the most probable class, uint8 [x, y, z].

    No probabilities of the whole volume are made on the way.

    Args:
      image: as of `probabilities`.

    Raises:
      InputError: as `probabilities`.
    """
    return self._fill(np.empty(self._size, np.uint8), image,
                      self._kernels.label)

  def _fill(self, result, image, head):
    begin = 0
    with self._store() as store:
      stages = slab_network.Builder(
          self._config.network, self._kernels, self._weights, head, store,
          slab_network.Work(self._layers, self._size, self._workspace.show)
      ).stages(self._layers)
      for part in slab_stages.run(stages, self._cut(image)):
        result[begin:begin + len(part)] = part
        begin += len(part)
    return np.swapaxes(result, 0, self._axis)

  def _store(self):
    if self._config.network.normalization == 'batch':
      return contextlib.nullcontext(slab_store.Memory())
    return slab_store.scratch_file(
        self._workspace.folder, slab_network.waiting_bytes(
            self._layers, self._size, self._kernels.dtype.itemsize))

  def _cut(self, image) -> Iterator[np.ndarray]:
    image = np.swapaxes(image, 0, self._axis)
    step = thickness(self._size, self._config.prediction.slabs,
                     self._config.network.size_multiple)
    for begin in range(0, len(image), step):
      yield image[begin:begin + step].astype(self._kernels.dtype)

  def close(self) -> None:
    """Frees the session."""
    self._kernels.close()


def _slices_first(size, axis):
  size = list(size)
  size[0], size[axis] = size[axis], size[0]
  return tuple(size)


def thickness(size: Sequence[int], slabs: int, multiple: int) -> int:
  """Returns the slices of a slab.

  Args:
    size: voxels along the axes, slices first.
    slabs: how many are wanted; 0: about two million voxels in each.
    multiple: that slabs are cut to where their number is free.
  """
  slices, y, z = size
  if slabs:
    return -(-slices // slabs)
  return multiple * max(1, _VOXELS // (multiple * y * z))
