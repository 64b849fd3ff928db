"""The loss of every step, in a CSV file beside the checkpoints."""

import contextlib
import csv
import math
import os
import pathlib
from typing import Any

import tensorflow as tf

from lamb import atomic_file

FILE = 'losses.csv'
COLUMNS = ('step', 'loss', 'masked_lm_loss', 'next_sentence_loss',
           'learning_rate', 'gradient_norm')


def read(model_dir: str | os.PathLike) -> list[dict[str, float]]:
  """Reads the log.

  Returns:
    One dict of `COLUMNS` for each step, in order, with NaN for what a job
    does not log; without a log, nothing. A last line that a kill has cut short
    is left out.
  """
  path = pathlib.Path(model_dir) / FILE
  if not path.exists():
    return []
  rows = []
  with open(path, encoding='utf-8', newline='') as stream:
    for row in csv.DictReader(stream):
      with contextlib.suppress(TypeError, ValueError):
        rows.append({name: float(row[name]) for name in COLUMNS})
  return rows


def cut(model_dir: str | os.PathLike, step: int) -> None:
  """Drops what was logged after a step, of which a checkpoint resumes."""
  rows = [row for row in read(model_dir) if row['step'] <= step]
  with atomic_file.replacing(pathlib.Path(model_dir) / FILE) as (stream,):
    stream.write(_lines([COLUMNS]))
    stream.write(_lines(_values(row) for row in rows))


def _values(row):
  return [int(row['step']),
          *(repr(row.get(name, math.nan)) for name in COLUMNS[1:])]


def _lines(rows):
  return ''.join(
      ','.join(map(str, row)) + '\n' for row in rows).encode('utf-8')


class LossLogHook(tf.estimator.SessionRunHook):
  """Appends a line at each step.

  Args:
    model_dir: Folder of the log.
    scalars: Tensors under the names of `COLUMNS`, without `step`.
    first_step: Steps that are done before.
  """

  def __init__(self, model_dir: str, scalars: dict[str, tf.Tensor],
               first_step: int):
    self._path = pathlib.Path(model_dir) / FILE
    self._scalars, self._step = scalars, first_step
    self._stream = None

  def begin(self):
    self._stream = open(self._path, 'ab')  # noqa: SIM115

  def before_run(self, run_context: Any):
    return tf.compat.v1.train.SessionRunArgs(self._scalars)

  def after_run(self, run_context: Any, run_values: Any):
    self._step += 1
    row = {name: float(value) for name, value in run_values.results.items()}
    self._stream.write(_lines([_values(row | {'step': self._step})]))
    # A kill must not take it away: the next checkpoint may name this step.
    self._stream.flush()

  def end(self, session: Any):
    self._stream.close()
