"""Scores of every case of a split, exactly once, on the case's own grid."""

from collections.abc import Callable
from collections.abc import Mapping
import os
from typing import Any

import numpy as np
import tensorflow as tf

from mtf_unet import case_scores
from mtf_unet import case_source
from mtf_unet import config as config_lib
from mtf_unet import label_maps
from mtf_unet import metrics
from mtf_unet import predictors
from mtf_unet import preprocess
from mtf_unet import splits


def evaluate(predictor: predictors.Predictor,
             source: case_source.CaseSource, config: config_lib.Config,
             show: Callable[[int, int], None] | None = None,
             observe: Callable[[case_source.Case, np.ndarray], None]
             | None = None) -> dict:
  """Scores a network by Dice.

  Probabilities are taken to the grid of the case's own file and the most
  probable class is compared with the truth there, so that neither padding nor
  resampling flatters the score.

  Args:
    predictor: of the network, weights loaded.
    source: the cases.
    config: the experiment.
    show: called with (cases done, cases in all) after each.
    observe: called with each case and its label map on the case's own grid.

  Returns:
    `metrics.summarize` of all cases.
  """
  scores = []
  for index in range(len(source)):
    case = source[index]
    probabilities = preprocess.probabilities_to_native_grid(
        predictor.probabilities(case.image), case.geometry)
    prediction = label_maps.from_probabilities(
        probabilities, config.prediction)
    if observe:
      observe(case, prediction)
    scores.append(metrics.score_case(
        case.name, prediction, case.native_label, config.data.num_classes))
    if show:
      show(index + 1, len(source))
  return metrics.summarize(scores)


def evaluate_in_detail(
    predictor: predictors.Predictor, source: case_source.CaseSource,
    config: config_lib.Config, show: Callable[[int, int], None] | None = None
    ) -> tuple[dict, list[case_scores.ClassScore]]:
  """Scores a network by all that `config.evaluation` names.

  Args:
    predictor: see `evaluate`.
    source: see `evaluate`.
    config: see `evaluate`.
    show: see `evaluate`.

  Returns:
    The summary of `evaluate` with the further keys 'measures', by class
    (`case_scores.summarize`), and 'case_measures', by case and class; and the
    latter as ClassScores.
  """
  measured = []

  def observe(case, prediction):
    measured.extend(case_scores.measure(
        case.name, prediction, case.native_label, case.native_spacing_mm,
        config.data.num_classes, config.evaluation))
  summary = evaluate(predictor, source, config, show, observe)
  summary['measures'] = case_scores.summarize(measured)
  summary['case_measures'] = list(map(case_scores.as_json, measured))
  return summary, measured


def folder(model_dir: str, split: str = splits.VALIDATION,
           members: int = 1) -> str:
  """Returns where the scores of a split lie: eval/ for the validation.

  Args:
    model_dir: of the network, the first one of an ensemble.
    split: 'train' or 'validation'.
    members: networks of the ensemble; those of several lie apart.
  """
  suffix = '' if split == splits.VALIDATION else f'_{split}'
  if members > 1:
    suffix += f'_ensemble_of_{members}'
  return os.path.join(model_dir, f'eval{suffix}')


def write_scores(path: str, summary: dict, step: int,
                 run: Mapping[str, Any] | None = None) -> str:
  """Writes scores as JSON and as TensorBoard scalars.

  Args:
    path: folder to write to.
    summary: of `evaluate` or `evaluate_in_detail`.
    step: of the checkpoint that was scored.
    run: facts about the run that scored it, for the JSON file.

  Returns:
    The path of the JSON file.
  """
  values = {f'dice/class_{entry["label"]}': entry['mean']
            for entry in summary['classes']}
  values['dice/mean'] = summary['mean']
  for entry in summary.get('measures', []):
    for key in ('hd95_mm', 'assd_mm', 'lesion_recall'):
      values[f'{key}/class_{entry["label"]}'] = entry[key]
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
