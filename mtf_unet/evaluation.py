"""Dice on every case of a split, exactly once, on the case's own grid."""

from collections.abc import Callable
from collections.abc import Mapping
import os
from typing import Any

import numpy as np
import tensorflow as tf

from mtf_unet import case_source
from mtf_unet import config as config_lib
from mtf_unet import inference
from mtf_unet import metrics
from mtf_unet import preprocess
from mtf_unet import splits


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


def folder(model_dir: str, split: str = splits.VALIDATION) -> str:
  """Returns where the scores of a split lie: eval/ for the validation."""
  suffix = '' if split == splits.VALIDATION else f'_{split}'
  return os.path.join(model_dir, f'eval{suffix}')


def write_scores(path: str, summary: dict, step: int,
                 run: Mapping[str, Any] | None = None) -> str:
  """Writes scores as JSON and as TensorBoard scalars.

  Args:
    path: folder to write to.
    summary: of `metrics.summarize`.
    step: of the checkpoint that was scored.
    run: facts about the run that scored it, for the JSON file.

  Returns:
    The path of the JSON file.
  """
  values = {f'dice/class_{entry["label"]}': entry['mean']
            for entry in summary['classes']}
  values['dice/mean'] = summary['mean']
  # Estimator graphs are v1, where the v2 writer refuses to work. The suffix
  # keeps apart files of the same second, which else overwrite each other.
  with tf.Graph().as_default(), tf.compat.v1.summary.FileWriter(
      path, filename_suffix=f'.{step}') as writer:
    writer.add_summary(tf.compat.v1.Summary(value=[
        tf.compat.v1.Summary.Value(tag=tag, simple_value=value)
        for tag, value in values.items() if value is not None]), step)
  # Last: a step with a JSON file counts as scored.
  name = os.path.join(path, f'metrics-{step}.json')
  metrics.write_json(name, summary | {'run': dict(run or {})})
  return name
