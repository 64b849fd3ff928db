"""Runs a table's small jobs, those that are not done yet."""

from collections.abc import Callable
from collections.abc import Mapping
import pathlib
import subprocess
import sys

import metrics_files
import table_types

from mtf_unet import errors

_ROOT = pathlib.Path(__file__).parents[2]


def check_inputs(table: table_types.Table, runs: pathlib.Path,
                 inputs: Mapping[str, str | None]) -> None:
  """Checks that the jobs to be run have what they read.

  Args:
    table: its jobs.
    runs: folder of runs.
    inputs: values of the input flags, by name; None where not given.

  Raises:
    InputError: naming the flag.
  """
  for job in table.small_jobs:
    if metrics_files.find(runs, job.file) is None:
      for name in job.inputs:
        if not inputs.get(name):
          raise errors.InputError(
              f'--{name}: got none, expected what --table={table.name} reads '
              '(see --help)')


def command(job: table_types.SmallJob, runs: pathlib.Path,
            inputs: Mapping[str, str | None]) -> list[str]:
  """Returns the arguments after `python`, with paths filled in."""
  return [part.format(runs=runs, **inputs) for part in job.command]


def run(table: table_types.Table, runs: pathlib.Path,
        inputs: Mapping[str, str | None],
        report: Callable[[str], None] = print) -> None:
  """Runs the jobs whose metrics file is missing, one after the other.

  Every job goes on where an earlier call was stopped.

  Args:
    table: its jobs.
    runs: folder of runs.
    inputs: values of the input flags.
    report: receives lines for the user.

  Raises:
    InputError: an input is missing, or a job fails or leaves no metrics.
  """
  check_inputs(table, runs, inputs)
  for number, job in enumerate(table.small_jobs, start=1):
    if metrics_files.find(runs, job.file) is not None:
      report(f'{table.name} {number} of {len(table.small_jobs)}: done before '
             f'({runs / job.file})')
      continue
    arguments = command(job, runs, inputs)
    report(f'{table.name} {number} of {len(table.small_jobs)}, time: '
           f'{job.time}\n$ python {" ".join(arguments)}')
    status = subprocess.run([sys.executable, *arguments], cwd=_ROOT,
                            check=False).returncode
    if status or metrics_files.find(runs, job.file) is None:
      raise errors.InputError(
          f'{arguments[0]}: ended with status {status} and '
          + (f'without {runs / job.file}' if not status else 'an error')
          + '; the same command goes on from there')
