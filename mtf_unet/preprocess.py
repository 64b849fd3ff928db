"""From a scan to what the network sees, and from its answer back to the scan.

The way there has two halves. `to_grid` turns a scan to canonical orientation
and resamples it: this is what prepared data holds. `to_input` normalises the
voxels and pads them: this is done when a case is read. For a scan that comes
from a file `to_network_grid_of_any_size` is both. `Geometry` remembers what was
done, so that a label map goes back to the file's own shape and orientation.
"""

import dataclasses
import math

import numpy as np
from scipy import ndimage

from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import orientations
from mtf_unet import volumes


@dataclasses.dataclass(frozen=True)
class Geometry:
  """Where a volume on the network's grid came from.

  Attributes:
    native_shape: voxels along the file's own axes.
    native_spacing_mm: voxel size along the file's own axes.
    axes: for each of the file's axes, the canonical axis that it becomes.
    signs: for each of the file's axes, 1, or -1 where it is reversed.
    grid_shape: canonical shape after resampling or resizing.
    network_shape: shape after padding; equals grid_shape without padding.
  """
  native_shape: tuple[int, int, int]
  native_spacing_mm: tuple[float, float, float]
  axes: tuple[int, int, int]
  signs: tuple[int, int, int]
  grid_shape: tuple[int, int, int]
  network_shape: tuple[int, int, int]

  @property
  def orientation(self) -> np.ndarray:
    """The [3, 2] orientation that `orientations.from_canonical` takes."""
    return np.stack([self.axes, self.signs], axis=1)

  @property
  def canonical_shape(self) -> tuple[int, int, int]:
    """The file's shape in canonical order."""
    return tuple(self.native_shape[self.axes.index(i)] for i in range(3))

  @property
  def padding(self) -> tuple[tuple[int, int], ...]:
    """Voxels before and after, for each axis."""
    gaps = [n - m for n, m in zip(self.network_shape, self.grid_shape)]
    return tuple((gap // 2, gap - gap // 2) for gap in gaps)

  def to_numbers(self) -> np.ndarray:
    """Returns float64 [18], for a record."""
    return np.concatenate(dataclasses.astuple(self)).astype(np.float64)

  @classmethod
  def from_numbers(cls, numbers: np.ndarray) -> 'Geometry':
    """Builds a Geometry from what `to_numbers` returned."""
    triples = np.asarray(numbers, np.float64).reshape(6, 3)
    fields = dataclasses.fields(cls)
    return cls(**{
        field.name: tuple(
            float(n) if field.name == 'native_spacing_mm' else int(n)
            for n in triple)
        for field, triple in zip(fields, triples)})


def to_grid(volume: volumes.Volume, data_config: config_lib.DataConfig
            ) -> tuple[np.ndarray, Geometry]:
  """Turns a scan to canonical orientation and resamples it.

  With fit 'resize' it is stretched to `data_config.size` at once, else to
  `spacing_mm` where that is given. Linear interpolation; smoothed first along
  axes that shrink, so that fine structure does not alias.

  Args:
    volume: array [x, y, z] or [x, y, z, channels].
    data_config: channels, spacing_mm, fit and size count here.

  Returns:
    (float32 [x, y, z, channels] in the file's own units, Geometry).

  Raises:
    InputError: if the scan has another number of channels.
  """
  array = volume.array
  if array.ndim == 3:
    array = array[..., np.newaxis]
  if array.shape[3] != data_config.channels:
    raise errors.InputError(
        f'{volume.path}: {array.shape[3]} channels, expected '
        f'data.channels={data_config.channels}')
  native_shape = array.shape[:3]
  canonical, orientation = orientations.to_canonical(
      dataclasses.replace(volume, array=array))
  shape = _grid_shape(canonical, data_config)
  grid = np.stack([
      _stretch_linear(canonical.array[..., c], shape)
      for c in range(data_config.channels)], axis=-1)
  geometry = Geometry(
      native_shape=tuple(native_shape),
      native_spacing_mm=volumes.spacing_mm(volume.affine),
      axes=tuple(int(a) for a in orientation[:, 0]),
      signs=tuple(int(s) for s in orientation[:, 1]),
      grid_shape=shape, network_shape=shape)
  return grid, geometry


def to_input(grid: np.ndarray, geometry: Geometry,
             data_config: config_lib.DataConfig,
             size: tuple[int, int, int] | None = None,
             name: str = 'volume') -> tuple[np.ndarray, Geometry]:
  """Normalises the voxels and pads the volume to the network's size.

  Padding comes last, so its zeros are the mean under 'zscore'.

  Args:
    grid: [x, y, z, channels] and geometry, both from `to_grid`.
    geometry: see `grid`.
    data_config: normalization, fit and size count here.
    size: the network's size where it is not `data_config.size`.
    name: what the message calls the volume.

  Returns:
    (float32 [x, y, z, channels], Geometry with the padded shape).

  Raises:
    InputError: if the volume is larger than the network's size.
  """
  size = tuple(size or data_config.size)
  check_fits(geometry.grid_shape, size, name)
  geometry = dataclasses.replace(geometry, network_shape=size)
  image = normalize(grid, data_config.normalization, data_config.window)
  return np.pad(image, geometry.padding + ((0, 0),)), geometry


def to_network_grid_of_any_size(
    volume: volumes.Volume, data_config: config_lib.DataConfig
    ) -> tuple[np.ndarray, Geometry]:
  """Turns a scan into the network's input, whole: see `to_grid`, `to_input`.

  Args:
    volume: array [x, y, z] or [x, y, z, channels].
    data_config: how; no volume is too large for its size.

  Returns:
    (float32 [x, y, z, channels] of shape `holding_size`, Geometry).

  Raises:
    InputError: as `to_grid`.
  """
  grid, geometry = to_grid(volume, data_config)
  return to_input(grid, geometry, data_config,
                  holding_size(grid.shape[:3], data_config), volume.path)


def holding_size(shape: tuple[int, int, int],
                 data_config: config_lib.DataConfig) -> tuple[int, int, int]:
  """Returns the larger of a volume's edge and `data_config.size`, by axis."""
  return network_size(shape, data_config.size, (1, 1, 1))


def label_to_grid(label: np.ndarray, geometry: Geometry) -> np.ndarray:
  """Takes a label map from the file's grid to `grid_shape`, nearest voxel."""
  return _stretch_nearest(
      orientations.turned(label, geometry.orientation), geometry.grid_shape)


def to_native_grid(label: np.ndarray, geometry: Geometry) -> np.ndarray:
  """Takes a label map back to the file's own shape and orientation.

  Args:
    label: uint8 [x, y, z] of shape `geometry.network_shape`.
    geometry: of the image.

  Returns:
    uint8 of shape `geometry.native_shape`; where the grid was resampled, the
    label of the nearest voxel.
  """
  canonical = _stretch_nearest(
      without_padding(label, geometry), geometry.canonical_shape)
  return np.ascontiguousarray(
      orientations.from_canonical(canonical, geometry.orientation))


def probabilities_to_native_grid(probabilities: np.ndarray,
                                 geometry: Geometry) -> np.ndarray:
  """Takes probabilities back to the file's own shape and orientation.

  Where the grid was resampled, the argmax of the result is smoother than what
  `to_native_grid` gives.

  Args:
    probabilities: [x, y, z, classes] of shape `geometry.network_shape`.
    geometry: of the image.

  Returns:
    float32 [x, y, z, classes] of shape `geometry.native_shape`, interpolated
    linearly; voxels outside `grid_shape` do not exist in the file.
  """
  inner = without_padding(probabilities, geometry)
  native = np.empty(geometry.native_shape + inner.shape[3:], np.float32)
  for c in range(inner.shape[3]):
    canonical = _stretch_linear(inner[..., c], geometry.canonical_shape)
    native[..., c] = orientations.from_canonical(
        canonical, geometry.orientation)
  return native


def without_padding(array: np.ndarray, geometry: Geometry) -> np.ndarray:
  """Cuts [x, y, z, ...] of `network_shape` to `grid_shape`."""
  return array[tuple(slice(before, before + n) for (before, _), n in zip(
      geometry.padding, geometry.grid_shape))]


def normalize(image: np.ndarray, normalization: str,
              window: tuple[float, float] = (0.0, 255.0)) -> np.ndarray:
  """Brings voxel values to the range that the network is trained on.

  'hounsfield' is the reference's window clip(HU / 1024 + 0.5, 0, 1); 'window'
  takes any two values to 0 and 1 and clips likewise; 'zscore' is
  (v - mean) / standard deviation of this volume, for each channel; a constant
  channel becomes 0.

  Args:
    image: [x, y, z, channels].
    normalization: 'hounsfield', 'window' or 'zscore'.
    window: the two values of 'window'.

  Returns:
    float32 of the same shape.
  """
  if normalization == 'hounsfield':
    return np.clip(image / 1024 + 0.5, 0, 1).astype(np.float32)
  if normalization == 'window':
    low, high = window
    return np.clip((image - low) / (high - low), 0, 1).astype(np.float32)
  return _zero_mean_unit_variance(image)


def _zero_mean_unit_variance(image):
  # Some scanners count to 1e6: sums in float64. Slice by slice, as a float64
  # copy of a volume may be more than all else that is in memory.
  mean = image.mean(axis=(0, 1, 2), dtype=np.float64)
  squares = sum(np.square(part - mean).sum(axis=(0, 1)) for part in image)
  deviation = np.sqrt(squares / math.prod(image.shape[:3]))
  deviation = np.where(deviation > 1e-6 * np.abs(mean), deviation, np.inf)
  result = np.empty(image.shape, np.float32)
  for part, normalized in zip(image, result):
    normalized[:] = (part - mean) / deviation
  return result


def network_size(shape: tuple[int, int, int], minimum: tuple[int, int, int],
                 multiple: tuple[int, int, int]) -> tuple[int, int, int]:
  """Returns the smallest size that holds a volume and that can be split.

  Args:
    shape: of the volume after resampling (`Geometry.grid_shape`).
    minimum: no axis gets smaller than this (the size trained on).
    multiple: each axis of the result is a multiple of this.
  """
  return tuple(math.ceil(max(n, low) / step) * step
               for n, low, step in zip(shape, minimum, multiple))


def check_fits(shape: tuple[int, int, int], size: tuple[int, int, int],
               name: str) -> None:
  """Refuses a volume larger than the network's size.

  Raises:
    InputError: naming a size that would fit, in multiples of 8.
  """
  if any(n > m for n, m in zip(shape, size)):
    fits = network_size(shape, size, (8, 8, 8))
    raise errors.InputError(
        f'{name}: {_times(shape)} voxels do not fit the size {_times(size)}; '
        f'data.size={fits} holds them')


def _times(shape):
  return 'x'.join(str(n) for n in shape)


def _grid_shape(canonical, data_config):
  if data_config.fit == 'resize':
    return tuple(data_config.size)
  shape = canonical.array.shape[:3]
  if data_config.spacing_mm is None:
    return shape
  spacing = volumes.spacing_mm(canonical.affine)
  return tuple(max(1, round(n * have / want)) for n, have, want in zip(
      shape, spacing, data_config.spacing_mm))


def _stretch_linear(array, shape):
  """Resamples [x, y, z] so that the outer faces of both grids coincide."""
  array = np.asarray(array, np.float32)
  if array.shape == tuple(shape):
    return array
  steps = np.array(array.shape) / shape
  sigmas = np.maximum(0, (steps - 1) / 2)
  if sigmas.any():
    array = ndimage.gaussian_filter(array, sigmas, mode='nearest')
  # Centre of voxel i of the result: (i + 0.5) * step - 0.5.
  return ndimage.affine_transform(
      array, steps, offset=(steps - 1) / 2, output_shape=tuple(shape), order=1,
      mode='nearest', prefilter=False)


def _stretch_nearest(array, shape):
  """Picks for each voxel of the result the one that its centre lies in."""
  if array.shape == tuple(shape):
    return array
  return array[np.ix_(*[
      ((2 * np.arange(n) + 1) * m) // (2 * n)
      for m, n in zip(array.shape, shape)])]
