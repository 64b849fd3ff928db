"""Dice on every case of a split, exactly once, on the case's own grid."""

from collections.abc import Callable

import numpy as np

from mtf_unet import case_source
from mtf_unet import config as config_lib
from mtf_unet import inference
from mtf_unet import metrics
from mtf_unet import preprocess


def evaluate(predictor: inference.Predictor, source: case_source.CaseSource,
             config: config_lib.Config,
             show: Callable[[int, int], None] | None = None) -> dict:
  """Scores a network.

  Probabilities are taken to the grid of the case's own file and the most
  probable class is compared with the truth there, so that neither padding nor
  resampling flatters the score.

  Args:
    predictor: of the network, weights loaded.
    source: the cases.
    config: the experiment.
    show: called with (cases done, cases in all) after each.

  Returns:
    `metrics.summarize` of all cases.
  """
  scores = []
  for index in range(len(source)):
    case = source[index]
    probabilities = predictor.probabilities(case.image)
    prediction = label_map(preprocess.probabilities_to_native_grid(
        probabilities, case.geometry))
    scores.append(metrics.score_case(
        case.name, prediction, case.native_label, config.data.num_classes))
    if show:
      show(index + 1, len(source))
  return metrics.summarize(scores)


def label_map(probabilities: np.ndarray) -> np.ndarray:
  """Takes the most probable class, uint8; the lowest where some tie."""
  return np.argmax(probabilities, axis=-1).astype(np.uint8)
