"""Patches of volumes that are not trained on whole.

A share of the patches lies around a voxel of a class other than the
background: first a class of those that the case has is drawn, then a voxel of
it, so that a small lesion comes as often as a large organ (nnU-Net does so).
The others lie anywhere. Where a patch lies is a function of the seed and the
example's number alone.
"""

import numpy as np

from mtf_unet import config as config_lib

# Keeps these random numbers apart from those of the augmentation.
_STREAM = 1


def cut(image: np.ndarray, label: np.ndarray, config: config_lib.DataConfig,
        seed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
  """Cuts one patch of `config.size` plus `config.patch_margin` on each side.

  Args:
    image: float32 [x, y, z, channels], no axis shorter than `config.size`.
    label: uint8 [x, y, z].
    config: size, patch_margin and foreground_share count here.
    seed: (run's seed, example's number).

  Returns:
    (image, label) of the patch; what lies beyond the volume is 0.
  """
  rng = np.random.Generator(np.random.Philox(
      np.random.SeedSequence(entropy=(*seed, _STREAM))))
  start = corner(label, config.size, config.foreground_share, rng)
  margin = config.patch_margin
  inside, beyond = [], []
  for at, edge, length in zip(start, config.size, label.shape):
    low, high = at - margin, at + edge + margin
    inside.append(slice(max(low, 0), min(high, length)))
    beyond.append((max(-low, 0), max(high - length, 0)))
  inside = tuple(inside)
  return (np.pad(image[inside], [*beyond, (0, 0)]),
          np.pad(label[inside], beyond))


def without_margin(image: np.ndarray, label: np.ndarray, margin: int
                   ) -> tuple[np.ndarray, np.ndarray]:
  """Takes off what `cut` added on each side."""
  inside = tuple(slice(margin, n - margin) for n in label.shape)
  return image[inside], label[inside]


def corner(label: np.ndarray, size: tuple[int, int, int],
           foreground_share: float, rng: np.random.Generator
           ) -> tuple[int, int, int]:
  """Draws the first voxel of a patch that lies within the volume.

  Args:
    label: uint8 [x, y, z].
    size: of the patch; at most the label's.
    foreground_share: probability of a patch around a voxel of the foreground;
      without any foreground all patches lie anywhere.
    rng: random numbers.
  """
  room = [n - edge for n, edge in zip(label.shape, size)]
  wanted = rng.random() < foreground_share
  classes = np.flatnonzero(np.bincount(label.ravel())[1:]) + 1
  if not wanted or not classes.size:
    return tuple(int(rng.integers(0, free + 1)) for free in room)
  voxels = np.flatnonzero(label == rng.choice(classes))
  centre = np.unravel_index(rng.choice(voxels), label.shape)
  return tuple(int(np.clip(at - edge // 2, 0, free))
               for at, edge, free in zip(centre, size, room))
