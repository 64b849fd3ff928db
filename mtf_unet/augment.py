"""Random changes of an (image, label) pair, as pure functions of a seed.

All spatial changes but flips compose into one coordinate map that is sampled
once: images linearly, labels at the nearest voxel. What a map brings in from
outside the volume is 0, like padding. Plain NumPy and SciPy: on one core
`scipy.ndimage.map_coordinates` was faster than gathers in TensorFlow.

Coordinates are voxels; x and y span the axial plane.
"""

import numpy as np
from scipy import ndimage

from mtf_unet import config as config_lib

_COARSE_BLOCK = 4
# Cells of the elastic field's control grid along each axis.
_ELASTIC_CELLS = 4


def augment(image: np.ndarray, label: np.ndarray,
            config: config_lib.AugmentationConfig, *, num_classes: int,
            seed: tuple[int, int], planar: bool = False
            ) -> tuple[np.ndarray, np.ndarray]:
  """Applies every change that `config` switches on.

  Args:
    image: float32 [x, y, z, channels], normalised.
    label: uint8 [x, y, z].
    config: how much of each change.
    num_classes: class num_classes - 1 is the lesion that corruption spares.
    seed: (run's seed, example's number); equal seeds give equal results.
    planar: keep the axial slices apart (for the 2-D mode, where z counts the
      neighbouring slices): no change but a flip acts along z.

  Returns:
    (image, label) of the same shapes and types.
  """
  rng = np.random.Generator(np.random.Philox(
      np.random.SeedSequence(entropy=tuple(seed))))
  image, label = flip(image, label, flipped_axes(config, rng))
  coordinates = coordinate_map(label.shape, config, rng, planar)
  if coordinates is not None:
    image, label = sample(image, label, coordinates)
  if rng.random() < config.intensity_probability:
    image = shift_classes(image, label, config.intensity_shift, rng)
    image = change_curve(image, config, rng)
    image = apply_bias_field(image, config.bias_field, rng)
    image = add_noise(image, config, rng)
  if rng.random() < config.corruption:
    image = corrupt(image, label == num_classes - 1, rng)
  return np.ascontiguousarray(image), np.ascontiguousarray(label)


def flipped_axes(config: config_lib.AugmentationConfig,
                 rng: np.random.Generator) -> tuple[int, ...]:
  """Draws the axes to reverse: flips, and 180 degrees about z (x and y)."""
  axes = {axis for axis in config.flip_axes if rng.random() < 0.5}
  if config.rotate_180 and rng.random() < 0.5:
    axes ^= {0, 1}
  return tuple(sorted(axes))


def flip(image: np.ndarray, label: np.ndarray, axes: tuple[int, ...]
         ) -> tuple[np.ndarray, np.ndarray]:
  """Reverses both arrays along the given axes."""
  return np.flip(image, axes), np.flip(label, axes)


def coordinate_map(shape: tuple[int, int, int],
                   config: config_lib.AugmentationConfig,
                   rng: np.random.Generator, planar: bool = False
                   ) -> np.ndarray | None:
  """Draws where each voxel of the result is taken from.

  Rotation, scaling, translation and the projective transform multiply into
  one 4x4 matrix about the volume's centre; the elastic field adds to it.

  Args:
    shape: [x, y, z].
    config: how much of each change.
    rng: random numbers.
    planar: leave z alone.

  Returns:
    float32 [3, x, y, z], or None where no spatial change is switched on.
  """
  if not any((config.rotation_degrees, config.scaling, config.projective,
              config.translation_voxels, config.elastic_voxels)):
    return None
  matrix = _projective(shape, config.projective, rng) @ _affine(
      config, rng, planar)
  # Row 3 divides x and y alone: a slice stays a slice.
  centre = (np.array(shape) - 1) / 2
  matrix[:2] += np.outer(centre[:2], matrix[3])
  matrix[2, 3] += centre[2]
  matrix[:, 3] -= matrix[:, :3] @ centre
  axes = np.ogrid[tuple(slice(n) for n in shape)]
  axes = [axis.astype(np.float32) for axis in axes]
  rows = [sum(np.float32(m) * axis for m, axis in zip(row, axes))
          + np.float32(row[3]) for row in matrix]
  coordinates = np.stack(rows[:3])
  if config.projective:
    coordinates[:2] /= rows[3]
  if config.elastic_voxels:
    moved = 2 if planar else 3
    coordinates[:moved] += elastic_field(
        shape, moved, config.elastic_voxels, rng)
  return coordinates


def sample(image: np.ndarray, label: np.ndarray, coordinates: np.ndarray
           ) -> tuple[np.ndarray, np.ndarray]:
  """Takes voxels from given places: linear for images, nearest for labels.

  Args:
    image: float32 [x, y, z, channels].
    label: uint8 [x, y, z].
    coordinates: float32 [3, x, y, z], voxels; 0 is read outside the volume.

  Returns:
    (image, label) of the same types; no label arises that was not there.
  """
  channels = [
      ndimage.map_coordinates(image[..., c], coordinates, order=1,
                              mode='constant', prefilter=False)
      for c in range(image.shape[-1])]
  nearest = ndimage.map_coordinates(label, coordinates, order=0,
                                    mode='constant', prefilter=False)
  return np.stack(channels, axis=-1), nearest


def elastic_field(shape: tuple[int, int, int], components: int,
                  deviation_voxels: float, rng: np.random.Generator
                  ) -> np.ndarray:
  """Draws a smooth displacement: cubic B-splines with random control points.

  Args:
    shape: [x, y, z].
    components: axes that are displaced.
    deviation_voxels: standard deviation of the displacement.
    rng: random numbers.

  Returns:
    float32 [components, x, y, z] in voxels.
  """
  field = rng.standard_normal(
      (components,) + (_ELASTIC_CELLS + 3,) * 3, dtype=np.float32)
  for n in shape:
    basis = _spline_basis(n)
    # The sum over control points lowers the deviation by this much.
    basis /= np.sqrt(np.mean(np.sum(basis**2, axis=1)))
    # Contracts the foremost control axis and appends the voxel axis, so after
    # three rounds the axes are x, y, z again.
    field = np.tensordot(field, basis.astype(np.float32), axes=(1, 1))
  return field * np.float32(deviation_voxels)


def shift_classes(image: np.ndarray, label: np.ndarray, largest: float,
                  rng: np.random.Generator) -> np.ndarray:
  """Adds a number from -largest .. largest to the voxels of each class."""
  if not largest:
    return image
  shifts = rng.uniform(-largest, largest, 256).astype(np.float32)
  return image + shifts[label][..., np.newaxis]


def change_curve(image: np.ndarray, config: config_lib.AugmentationConfig,
                 rng: np.random.Generator) -> np.ndarray:
  """Changes contrast about the mean, brightness, and gamma between extremes.

  Contrast and gamma are factors exp(u) with u uniform in -c .. c, brightness
  is added.
  """
  contrast, brightness, gamma = (
      rng.uniform(-bound, bound)
      for bound in (config.contrast, config.brightness, config.gamma))
  if config.contrast or config.brightness:
    factor = np.float32(np.exp(contrast))
    offset = image.mean() * (1 - factor) + np.float32(brightness)
    image = image * factor + offset
  if config.gamma:
    low = image.min()
    span = max(image.max() - low, np.finfo(np.float32).tiny)
    image = ((image - low) / span) ** np.float32(np.exp(gamma)) * span + low
  return image


def apply_bias_field(image: np.ndarray, largest: float,
                     rng: np.random.Generator) -> np.ndarray:
  """Multiplies the voxels, counted from the darkest, by a smooth field.

  The field is exp(g) with g linear along a random direction plus a random
  quadratic along each axis, between -largest and largest.
  """
  if not largest:
    return image
  axes = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32)
                       for n in image.shape[:3]], indexing='ij', sparse=True)
  slopes, bends = rng.uniform(-1, 1, (2, 3)).astype(np.float32)
  log_gain = sum(slope * axis + bend * (2 * axis**2 - 1)
                 for slope, bend, axis in zip(slopes, bends, axes))
  largest *= rng.uniform()
  log_gain *= np.float32(largest / np.abs(log_gain).max())
  low = image.min()
  return (image - low) * np.exp(log_gain)[..., np.newaxis] + low


def add_noise(image: np.ndarray, config: config_lib.AugmentationConfig,
              rng: np.random.Generator) -> np.ndarray:
  """Adds normal noise for each voxel and for each block of 4x4x4 voxels.

  The deviation is drawn between 0 and the config's, so that clean scans stay
  among what the network has seen.
  """
  fine, coarse = rng.uniform(size=2).astype(np.float32)
  if config.noise_fine:
    image = image + fine * config.noise_fine * rng.standard_normal(
        image.shape, dtype=np.float32)
  if config.noise_coarse:
    blocks = [-(-n // _COARSE_BLOCK) for n in image.shape[:3]]
    noise = rng.standard_normal(blocks + [image.shape[3]], dtype=np.float32)
    nearest = np.ix_(*[np.arange(n) // _COARSE_BLOCK for n in image.shape[:3]])
    image = image + coarse * config.noise_coarse * noise[nearest]
  return image


def corrupt(image: np.ndarray, lesion: np.ndarray, rng: np.random.Generator
            ) -> np.ndarray:
  """Replaces a random box by noise of the image's mean and deviation.

  Args:
    image: float32 [x, y, z, channels].
    lesion: bool [x, y, z], voxels that stay as they are.
    rng: random numbers; the box's edges are an eighth to a half of the axis.

  Returns:
    The corrupted image.
  """
  box = []
  for n in lesion.shape:
    edge = max(1, int(n * rng.uniform(1 / 8, 1 / 2)))
    start = int(rng.integers(0, n - edge + 1))
    box.append(slice(start, start + edge))
  box = tuple(box)
  image = image.copy()
  noise = image.mean() + image.std() * rng.standard_normal(
      image[box].shape, dtype=np.float32)
  image[box] = np.where(lesion[box][..., np.newaxis], image[box], noise)
  return image


def _affine(config, rng, planar):
  """Draws a 4x4 matrix: rotation about each axis, scaling, translation."""
  free = (0, 0, 1) if planar else (1, 1, 1)
  angles = np.deg2rad(rng.uniform(
      -config.rotation_degrees, config.rotation_degrees, 3)) * free
  scale = np.exp(rng.uniform(-config.scaling, config.scaling))
  moves = rng.uniform(
      -config.translation_voxels, config.translation_voxels, 3)
  matrix = np.diag([scale, scale, 1.0 if planar else scale, 1.0])
  for axis, angle in enumerate(angles):
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.eye(4)
    rotation[i, i] = rotation[j, j] = np.cos(angle)
    rotation[j, i] = np.sin(angle)
    rotation[i, j] = -rotation[j, i]
    matrix = rotation @ matrix
  matrix[:3, 3] = moves * (1, 1, 0) if planar else moves
  return matrix


def _projective(shape, largest, rng):
  """Draws a 4x4 matrix that moves the corners of the axial plane (row 3: w).

  The homography of x and y, about the centre, that takes each corner to its
  place plus a displacement of at most `largest` times the axis length.
  """
  matrix = np.eye(4)
  if not largest:
    return matrix
  corners = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)], np.float64)
  corners *= np.array(shape[:2]) / 2
  moved = corners + rng.uniform(-largest, largest, (4, 2)) * shape[:2]
  equations, right = [], []
  for (x, y), (u, v) in zip(corners, moved):
    equations += [(x, y, 1, 0, 0, 0, -u * x, -u * y),
                  (0, 0, 0, x, y, 1, -v * x, -v * y)]
    right += [u, v]
  h = np.append(np.linalg.solve(equations, right), 1).reshape(3, 3)
  matrix[np.ix_([0, 1, 3], [0, 1, 3])] = h
  return matrix


def _spline_basis(n):
  """Returns [n, control points]: uniform cubic B-splines at n voxels."""
  places = np.linspace(0, _ELASTIC_CELLS, n) if n > 1 else np.zeros(1)
  knots = np.arange(-1, _ELASTIC_CELLS + 2)
  distance = np.abs(places[:, np.newaxis] - knots)
  near = 2 / 3 - distance**2 + distance**3 / 2
  far = np.maximum(0, 2 - distance) ** 3 / 6
  return np.where(distance < 1, near, far)
