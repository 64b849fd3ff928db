"""Distances in mm between the surfaces of two masks.

The surface of a mask is the set of its voxels of which a face neighbour lies
outside (beyond the array counts as outside); a distance goes from the centre
of a surface voxel to the nearest surface voxel's centre of the other mask, in
mm. This is the definition of MONAI and MedPy. That of DeepMind's
surface-distance differs: it weighs pieces of a surface between the voxels by
their area. Both agree on the Hausdorff distance of the published examples, but
not on averages where the objects are a few voxels large.

With P the distances from the prediction's surface to the truth's, and T those
from the truth's to the prediction's:
  HD95 = max(95th percentile of P, 95th percentile of T)
  ASSD = (mean of P + mean of T) / 2,
as MONAI and MedPy have them; others pool P and T before the mean.
"""

import dataclasses

import numpy as np
from scipy import ndimage


@dataclasses.dataclass(frozen=True)
class SurfaceDistances:
  """Distances between two surfaces that both exist.

  Attributes:
    from_prediction: float64 [voxels of the prediction's surface], mm.
    from_truth: float64 [voxels of the truth's surface], mm.
  """
  from_prediction: np.ndarray
  from_truth: np.ndarray

  def hausdorff(self, percentile: float = 95.0) -> float:
    """Returns the larger of both directions' percentiles, mm."""
    return float(max(np.percentile(self.from_prediction, percentile),
                     np.percentile(self.from_truth, percentile)))

  @property
  def average(self) -> float:
    """The average symmetric surface distance, mm."""
    return float(self.from_prediction.mean() + self.from_truth.mean()) / 2


def surface(mask: np.ndarray) -> np.ndarray:
  """Returns the mask's voxels that have a face neighbour outside of it.

  Args:
    mask: bool, any number of dims.
  """
  return mask & ~ndimage.binary_erosion(mask)


def surface_distances(prediction: np.ndarray, truth: np.ndarray,
                      spacing_mm: tuple[float, ...]
                      ) -> SurfaceDistances | None:
  """Measures the distances between the surfaces of two masks.

  Args:
    prediction: bool [x, y, z].
    truth: bool of the same shape.
    spacing_mm: distance between voxels along each axis.

  Returns:
    The distances, or None where a mask is empty: there is no distance to a
    surface that does not exist, neither 0 nor infinity.

  Raises:
    ValueError: if the shapes differ.
  """
  if prediction.shape != truth.shape or len(spacing_mm) != truth.ndim:
    raise ValueError(
        f'prediction of shape {prediction.shape} and spacing {spacing_mm}, '
        f'expected {truth.shape} as the truth and one spacing for each axis')
  if not prediction.any() or not truth.any():
    return None
  # Everything that is measured lies in the box that holds both.
  box = ndimage.find_objects((prediction | truth).astype(np.uint8))[0]
  surfaces = [surface(mask[box]) for mask in (prediction, truth)]
  to_prediction, to_truth = [
      ndimage.distance_transform_edt(~one, sampling=spacing_mm)
      for one in surfaces]
  return SurfaceDistances(to_truth[surfaces[0]], to_prediction[surfaces[1]])
