"""Runs the batch-scaling study, run by run, each of them once.

A run is done when its metrics.json is there; one that was stopped goes on from
its last checkpoint.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import json
import pathlib
import time
from typing import Any

import numpy as np

from lamb import atomic_file
from lamb import errors
from lamb.bert import checkpoints
from lamb.bert import config as config_lib
from lamb.bert import flops
from lamb.bert import input_pipeline
from lamb.bert import loss_log
from lamb.bert import machine
from lamb.bert import optimizers
from lamb.bert import pretraining
from lamb.bert import scaling_study

METRICS_FILE = 'metrics.json'
SUMMARY_FILE = 'summary.json'
_FINAL_SHARE = 0.1
_CURVE_POINTS = 200
_CHECKPOINTS_A_RUN = 8
_EVALUATION_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Laboratory:
  """What all runs share.

  Attributes:
    study: The settings.
    config: Sizes of the network.
    folder: A folder for each run is made in it.
    train_files: Records of both sequence lengths.
    eval_files: Held-out records of the shorter.
    describe: Takes a run's settings and its seed, and returns what its
      metrics file says of who ran it.
    report: Receives one-line messages for the user.
  """

  study: scaling_study.Study
  config: config_lib.BertConfig
  folder: pathlib.Path
  train_files: tuple[str, ...]
  eval_files: tuple[str, ...]
  describe: Callable[[Mapping[str, Any], int], Mapping[str, Any]]
  report: Callable[[str], None] = print


def run_all(laboratory: Laboratory) -> dict[str, Any]:
  """Runs the grid and full runs of each optimizer, and writes summary.json.

  LAMB comes first, so that it is known early whether its accuracy suffices.

  Args:
    laboratory: What they share.

  Returns:
    `scaling_study.summarize` of all runs.

  Raises:
    InputError: Records do not fit, or a whole grid diverged.
  """
  study, results, rates = laboratory.study, {}, {}
  for optimizer in scaling_study.OPTIMIZERS:
    for run in scaling_study.grid(study, optimizer):
      results[run.name] = run_once(laboratory, run)
    rate = scaling_study.best_rate(study, optimizer, results)
    rates[optimizer] = rate
    laboratory.report(f'{optimizer}: best learning rate at batch '
                      f'{study.batches[0]}: {rate:g}')
    for run in scaling_study.full_runs(study, optimizer, rate):
      results[run.name] = run_once(laboratory, run)
  summary = scaling_study.summarize(study, results)
  atomic_file.write_json(laboratory.folder / SUMMARY_FILE, summary | {
      'rates': rates,
      'run': laboratory.describe(dataclasses.asdict(study), study.seed)})
  return summary


def run_once(laboratory: Laboratory, run: scaling_study.Run
             ) -> dict[str, Any]:
  """Trains and evaluates, unless that was done before.

  Args:
    laboratory: What all runs share.
    run: The run.

  Returns:
    What its metrics.json holds: `scaling_study.METRICS` (each the word
    "diverges" if the loss became NaN), the settings, `flop`, `seconds` (None
    if it was stopped in between) and the `curve` of the masked-LM loss.

  Raises:
    InputError: It was done with other settings, or its records do not fit.
  """
  folder = laboratory.folder / run.name
  path = folder / METRICS_FILE
  settings = _settings(laboratory, run)
  if path.exists():
    return _done_before(path, settings)
  laboratory.report(f'== {run.name}: ' + ', '.join(map(str, run.stages)))
  job = _job(laboratory, run, folder)
  resumed = checkpoints.latest(str(folder)) is not None
  started = time.monotonic()
  try:
    pretraining.train(job)
    found = pretraining.evaluate(job, laboratory.eval_files, stage=0)
    final = _final_loss(loss_log.read(folder))
  except machine.DivergedError as error:
    laboratory.report(str(error))
    found = dict.fromkeys(scaling_study.METRICS, scaling_study.DIVERGES)
    final = scaling_study.DIVERGES
  result = {
      **{name: found[name] for name in scaling_study.METRICS}, **settings,
      scaling_study.FINAL_LOSS: final, 'examples': run.examples,
      'flop': _flop(laboratory.config, run),
      'seconds': None if resumed else time.monotonic() - started,
      'curve': _curve(run, folder),
      'run': laboratory.describe(settings, job.seed)}
  atomic_file.write_json(path, result)
  laboratory.report(
      f'{run.name}: masked-LM accuracy {found[scaling_study.ACCURACY]}')
  return result


def _settings(laboratory, run):
  """Returns what decides a run's result, as JSON has it."""
  return {'optimizer': dataclasses.asdict(_optimizer(laboratory, run)),
          'stages': [dataclasses.asdict(stage) for stage in run.stages],
          'network': dataclasses.asdict(laboratory.config),
          'activation_dtype': laboratory.study.activation_dtype}


def _optimizer(laboratory, run):
  return optimizers.OptimizerConfig(
      run.optimizer, bias_correction=laboratory.study.bias_correction)


def _done_before(path, settings):
  """Reads metrics; refuses those of other settings."""
  found = json.loads(path.read_text(encoding='utf-8'))
  for key, value in settings.items():
    if found.get(key) != value:
      raise errors.InputError(
          f'{path}: was run with another {key} ({found.get(key)}), expected '
          f'{value}; choose another folder.')
  return found


def _job(laboratory, run, folder):
  """Returns the pre-training of a run; only its stages' records are named."""
  steps = sum(stage.steps for stage in run.stages)
  lengths = {stage.sequence_length for stage in run.stages}
  shared = laboratory.study
  files = [path for path in laboratory.train_files
           if input_pipeline.shape_of(path).sequence_length
           in lengths]
  return pretraining.Job(
      laboratory.config, str(folder), run.stages,
      _optimizer(laboratory, run), tuple(files),
      activation_dtype=shared.activation_dtype,
      accumulate_steps=shared.accumulate_steps(run.stages), seed=shared.seed,
      save_checkpoints_steps=max(1, steps // _CHECKPOINTS_A_RUN),
      keep_checkpoints=1, eval_batch_size=_EVALUATION_BATCH,
      report=laboratory.report)


def _final_loss(rows):
  """Returns the mean masked-LM loss of the last tenth of the steps."""
  last = max(1, round(_FINAL_SHARE * len(rows)))
  return float(np.mean([row['masked_lm_loss'] for row in rows[-last:]]))


def _flop(config, run):
  return sum(
      stage.batch_size * stage.steps * flops.training_flops(
          config, stage.sequence_length, stage.max_predictions)
      for stage in run.stages)


def _curve(run, folder):
  """Returns means of the logged losses, at most so many points."""
  rows = [row for row in loss_log.read(folder)
          if np.isfinite(row['masked_lm_loss'])]
  batches = np.repeat([stage.batch_size for stage in run.stages],
                      [stage.steps for stage in run.stages])
  seen = np.cumsum(batches)
  curve = {'step': [], 'examples': [], 'masked_lm_loss': []}
  for part in np.array_split(np.arange(len(rows)),
                             min(len(rows), _CURVE_POINTS) or 1):
    if part.size:
      curve['step'].append(int(rows[part[-1]]['step']))
      curve['examples'].append(int(seen[curve['step'][-1] - 1]))
      curve['masked_lm_loss'].append(
          float(np.mean([rows[i]['masked_lm_loss'] for i in part])))
  return curve
