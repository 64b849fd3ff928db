"""The demo's data: brain MRI that a dependency ships, and a plain baseline.

The nilearn package holds the ICBM 152 (2009a, symmetric, nonlinear) T1
template at 1 mm with maps of grey and white matter. Averaged to 2 mm and cut
along y (back to front): the back is trained on, the front is tested on, with
a gap between them. The template is left-right symmetric, so a cut between
left and right would test on the training data.
"""

import importlib.util
import os
import pathlib

import numpy as np

from mtf_unet import atomic_file
from mtf_unet import errors
from mtf_unet import volumes

NUM_CLASSES = 3  # 0 rest, 1 grey matter, 2 white matter.
SPACING_MM = 2.0
TRAINING_CASES = ('posterior_1', 'posterior_2', 'posterior_3')
TEST_CASE = 'anterior'
DEGRADED_CASE = 'anterior_noise_and_bias'
CASE_SHAPE = (80, 40, 80)

# Slices of the 2 mm grid. The brain spans x 13..84, y 14..103, z 1..76. The
# training volumes overlap, which costs nothing and shows the network the same
# tissue at other distances from the border; 4 slices (8 mm) are left out.
_X, _Z = slice(9, 89), slice(0, 80)
_TRAINING_Y = (slice(8, 48), slice(16, 56), slice(24, 64))
_TEST_Y = slice(68, 108)

# The hardest usual setting of simulated brain MRI (BrainWeb): noise of 5 % of
# the white matter's intensity and a field from 80 % to 120 %.
_NOISE_FRACTION = 0.05
_BIAS_FRACTION = 0.2

_FILE = 'mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz'
_THRESHOLD_STEPS = 256


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Reads the template and averages it to 2 mm.

  A voxel's label is the largest of the three fractions rest, grey, white.

  Returns:
    (T1 float32 [98, 116, 94] from 0 to 255, label uint8 of the same shape,
    affine [4, 4]).

  Raises:
    InputError: if nilearn is not installed.
  """
  spec = importlib.util.find_spec('nilearn')
  if spec is None:
    raise errors.InputError(
        "nilearn is not installed, expected the extra 'demo': pip install "
        "'mtf-lamb-loopfilter[demo]'")
  folder = pathlib.Path(spec.origin).parent / 'datasets' / 'data'
  t1, grey, white = (
      volumes.read(folder / _FILE.format(name)) for name in ('t1', 'gm', 'wm'))
  grey_255, white_255 = _halve(grey.array), _halve(white.array)
  fractions = np.stack([255 - grey_255 - white_255, grey_255, white_255])
  affine = t1.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
  # The middle of a block of two voxels lies half a voxel from the first.
  affine[:3, 3] += t1.affine[:3, :3] @ (0.5, 0.5, 0.5)
  return _halve(t1.array), np.argmax(fractions, axis=0).astype(np.uint8), affine


def write_folder(folder: str | os.PathLike) -> None:
  """Writes the cases in Decathlon layout, with dataset.json and split.json.

  The training cases are in 'train'; TEST_CASE and DEGRADED_CASE, the same
  voxels with noise and a bias field, are in 'validation'.

  Args:
    folder: to fill; files of the same names are replaced.
  """
  folder = pathlib.Path(folder)
  t1, label, affine = load()
  places = dict(zip(TRAINING_CASES, _TRAINING_Y))
  places |= {TEST_CASE: _TEST_Y, DEGRADED_CASE: _TEST_Y}
  for name, y in places.items():
    box = (_X, y, _Z)
    image = t1[box]
    if name == DEGRADED_CASE:
      image = degrade(image, white_intensity=t1[label == 2].mean(), seed=0)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [axis.start for axis in box]
    volumes.write(folder / 'imagesTr' / f'{name}.nii.gz', image, moved)
    volumes.write(folder / 'labelsTr' / f'{name}.nii.gz', label[box], moved)
  atomic_file.write_json(folder / 'dataset.json', {
      'name': 'ICBM 152 2009a template at 2 mm',
      'modality': {'0': 'T1'},
      'labels': {'0': 'rest', '1': 'grey matter', '2': 'white matter'},
      'training': [{'image': f'./imagesTr/{name}.nii.gz',
                    'label': f'./labelsTr/{name}.nii.gz'} for name in places],
  })
  atomic_file.write_json(folder / 'split.json', {
      'train': list(TRAINING_CASES),
      'validation': [TEST_CASE, DEGRADED_CASE],
  })


def degrade(image: np.ndarray, white_intensity: float, seed: int
            ) -> np.ndarray:
  """Adds what a scanner adds: a smooth bias field and Rician noise.

  Args:
    image: float32 [x, y, z], 0 or more.
    white_intensity: mean of the white matter, which the noise is relative to.
    seed: of the noise and of the field's direction.

  Returns:
    float32 [x, y, z].
  """
  rng = np.random.Generator(np.random.Philox(key=seed))
  direction = rng.uniform(-1, 1, 3)
  axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in image.shape],
                     indexing='ij', sparse=True)
  # From -1 in one corner to 1 in the opposite one.
  ramp = sum(d * axis for d, axis in zip(direction, axes))
  ramp = ramp / np.abs(direction).sum()
  field = 1 + _BIAS_FRACTION * np.sin(np.pi * ramp)
  real, imaginary = rng.normal(
      0, _NOISE_FRACTION * white_intensity, (2,) + image.shape)
  return np.hypot(image * field + real, imaginary).astype(np.float32)


def fit_thresholds(images: list[np.ndarray], labels: list[np.ndarray]
                   ) -> tuple[float, float]:
  """Finds the two intensities that part rest, grey and white best.

  Every pair out of 256 steps is tried; the best has the largest mean Dice of
  the two classes over all voxels.

  Args:
    images: of the training cases.
    labels: of the training cases, 0 rest, 1 grey, 2 white.

  Returns:
    (lower, upper): grey from lower on, white from upper on.
  """
  voxels = np.concatenate([image.ravel() for image in images])
  classes = np.concatenate([label.ravel() for label in labels])
  edges = np.linspace(voxels.min(), voxels.max(), _THRESHOLD_STEPS + 1)
  # above[c, i]: voxels of class c with an intensity of edges[i] or more.
  counts = np.stack([np.histogram(voxels[classes == c], edges)[0]
                     for c in range(NUM_CLASSES)])
  above = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
  total = above.sum(axis=0)
  size = above[:, 0]
  lower, upper = np.triu_indices(_THRESHOLD_STEPS)
  grey = 2 * (above[1, lower] - above[1, upper]) / (
      total[lower] - total[upper] + size[1])
  white = 2 * above[2, upper] / (total[upper] + size[2])
  best = np.argmax(grey + white)
  return float(edges[lower[best]]), float(edges[upper[best]])


def apply_thresholds(image: np.ndarray, thresholds: tuple[float, float]
                     ) -> np.ndarray:
  """Returns the label map (uint8) that two intensities give."""
  return np.digitize(image, thresholds).astype(np.uint8)


def _halve(array):
  """Averages blocks of 2x2x2; an odd last voxel is dropped."""
  shape = [n // 2 for n in array.shape]
  array = array[tuple(slice(2 * n) for n in shape)]
  return array.reshape(
      shape[0], 2, shape[1], 2, shape[2], 2).mean(axis=(1, 3, 5))
