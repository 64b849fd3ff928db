"""Draws evaluated cases with prediction and truth."""

import numpy as np

from mtf_unet import case_source
from mtf_unet import config as config_lib
from mtf_unet import html_report
from mtf_unet import label_maps
from mtf_unet import overlay
from mtf_unet import predictors
from mtf_unet import preprocess
from mtf_unet import volumes


def extremes(predictor: predictors.Predictor, source: case_source.CaseSource,
             config: config_lib.Config, summary: dict
             ) -> list[html_report.Picture]:
  """Predicts the best, median and worst case once more and draws them.

  Args:
    predictor: of the network that was evaluated.
    source: the cases.
    config: the experiment.
    summary: of their evaluation.
  """
  return [html_report.Picture(caption, draw(predictor, source[index], config))
          for caption, index in html_report.extreme_cases(summary)]


def draw(predictor: predictors.Predictor, case: case_source.Case,
         config: config_lib.Config) -> bytes:
  """Returns a PNG of a case on the network's grid, without its padding."""
  label = label_maps.from_probabilities(
      predictor.probabilities(case.image), config.prediction)
  image, label, truth = (
      preprocess.without_padding(array, case.geometry)
      for array in (case.image, label, case.label))
  return overlay.draw(
      volumes.Volume(image, _grid_affine(case.geometry), case.name), label,
      num_classes=config.data.num_classes, truth=truth)


def _grid_affine(geometry):
  """Spacing along the canonical axes; where it lies does not matter here."""
  spacing = [geometry.native_spacing_mm[geometry.axes.index(axis)] * native
             / grid for axis, (native, grid) in enumerate(zip(
                 geometry.canonical_shape, geometry.grid_shape))]
  return np.diag([*spacing, 1.0])
