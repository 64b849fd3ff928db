"""Scores of a network: a table to read, JSON, CSV and HTML to keep."""

from collections.abc import Mapping
from typing import Any

import item_progress

from mtf_unet import case_pictures
from mtf_unet import case_scores
from mtf_unet import case_source
from mtf_unet import config as config_lib
from mtf_unet import evaluation
from mtf_unet import html_report
from mtf_unet import metrics
from mtf_unet import predictors


def evaluate(predictor: predictors.Predictor, source: case_source.CaseSource,
             config: config_lib.Config, folder: str, *, step: int,
             details: str, with_report: bool, run: Mapping[str, Any]) -> None:
  """Writes metrics-STEP.json, .csv and, if asked, report-STEP.html.

  Args:
    predictor: of the network, weights loaded.
    source: the cases.
    config: the experiment.
    folder: of the results.
    step: of the checkpoint.
    details: what was evaluated on what, for the report.
    with_report: write the HTML page, for which three cases are predicted
      once more.
    run: facts about this run, for the JSON file.
  """
  summary, scores = evaluation.evaluate_in_detail(
      predictor, source, config, item_progress.ItemProgress('case'))
  print(metrics.format_table(summary))
  print(case_scores.format_table(summary['measures']))
  base = evaluation.write_scores(folder, summary, step, run).removesuffix(
      '.json')
  case_scores.write_csv(f'{base}.csv', scores)
  if with_report:
    report = f'{folder}/report-{step}.html'
    html_report.write(
        report, summary,
        case_pictures.extremes(predictor, source, config, summary),
        title='Segmentation report', details=details)
    print(f'Report in {report}')
  print(f'Written to {base}.json and .csv')
