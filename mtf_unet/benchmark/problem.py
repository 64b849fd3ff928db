"""What every variant of the benchmark computes: one step on one volume."""

from collections.abc import Callable
import dataclasses

import numpy as np

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import layout


@dataclasses.dataclass(frozen=True)
class Problem:
  """The training step: batch 1, one channel, float32, Adafactor.

  Attributes:
    base_filters: of the network's first level.
    size: voxels along each edge of the cubic volume.
    steps: timed steps in each process, after the warm-up.
    num_classes: of the labels.
    learning_rate: constant, the same in all.
    loss: weights of cross entropy and Dice.
    recompute: levels whose activations the mesh computes again.
    deep_supervision: coarser levels with a head of their own, on the mesh.
  """
  base_filters: int = 32
  size: int = 64
  steps: int = 5
  num_classes: int = 3
  learning_rate: float = 0.003
  loss: config_lib.LossConfig = config_lib.LossConfig()
  recompute: tuple[int, ...] = ()
  deep_supervision: int = 0

  def __post_init__(self):
    for key in ('base_filters', 'size', 'steps'):
      if getattr(self, key) < 1:
        raise errors.InputError(
            f'{key}: got {getattr(self, key)}, expected 1 or more')

  @property
  def network(self) -> config_lib.NetworkConfig:
    """The architecture, in every framework."""
    return config_lib.NetworkConfig(base_filters=self.base_filters,
                                    recompute=self.recompute,
                                    deep_supervision=self.deep_supervision)

  def check_split(self, spatial_split: tuple[int, int, int]) -> None:
    """Raises InputError where the volume does not divide into the blocks."""
    partition = layout.partition(
        config_lib.MeshConfig(spatial_split=spatial_split))
    layout.check_sizes(partition, (self.size,) * 3, 1,
                       (self.network.size_multiple,) * 3)

  def volume(self) -> tuple[np.ndarray, np.ndarray]:
    """Draws images float32 [1, size, size, size, 1] and labels uint8 likewise.

    The labels lack the channel dim.
    """
    random = np.random.default_rng(0)
    shape = (1,) + (self.size,) * 3
    images = random.standard_normal(shape + (1,), dtype=np.float32)
    return images, random.integers(self.num_classes, size=shape,
                                   dtype=np.uint8)


@dataclasses.dataclass(frozen=True)
class Step:
  """A training step that is ready to run.

  Attributes:
    run: does one step and returns the loss when all its work is done.
    parameters: trainable numbers of the network.
    version: framework and version.
  """
  run: Callable[[], float]
  parameters: int
  version: str
