"""Scores the checkpoints of a training on cases that it does not see."""

import glob
import os
import re
from typing import Any

import tensorflow as tf

from mtf_unet import best_checkpoint
from mtf_unet import case_source
from mtf_unet import checkpoints
from mtf_unet import evaluation
from mtf_unet import inference


class ValidationListener(tf.estimator.CheckpointSaverListener):
  """Scores checkpoints and keeps the best.

  The graph to predict with is built once and given the weights of every
  checkpoint; training's own graph stays as it is.

  Args:
    job: the `training.Job`, which builds this listener.
    validation: the cases.
  """

  def __init__(self, job: Any, validation: case_source.CaseSource):
    self._job, self._validation = job, validation
    self._best = best_checkpoint.BestCheckpoint(job.model_dir)
    self._predictor = None
    self._last = _last_scored(job.model_dir,
                              checkpoints.newest_step(job.model_dir))

  def after_save(self, session, global_step_value):
    config, step = self._job.config.training, int(global_step_value)
    every = config.evaluate_every_steps
    # Also after a resume, when the training was stopped while scoring.
    due = step // every > self._last // every
    finished = step >= config.steps and step > self._last
    if due or finished:
      self._last = step
      self._score(step)

  def _score(self, step):
    job = self._job
    if self._predictor is None:
      self._predictor = inference.of_volumes(
          job.config, job.partition, job.predictor)
    checkpoint = checkpoints.latest(job.model_dir)
    self._predictor.restore(checkpoint)
    summary = evaluation.evaluate(self._predictor, self._validation,
                                  job.config)
    score = summary['mean'] if summary['mean'] is not None else 0.0
    kept = self._best.offer(checkpoint, score)
    evaluation.write_scores(evaluation.folder(job.model_dir), summary, step,
                            job.run)
    job.report(f'Step {step}: mean validation Dice {score:.4f}'
               + (' (best so far, kept)' if kept else ''))


def _last_scored(model_dir, up_to):
  """The highest step, at most `up_to`, whose scores are written; else 0."""
  names = glob.glob(os.path.join(
      glob.escape(evaluation.folder(model_dir)), 'metrics-*.json'))
  steps = [int(re.findall(r'\d+', os.path.basename(name))[0])
           for name in names]
  return max((step for step in steps if step <= up_to), default=0)
