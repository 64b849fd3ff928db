"""Runs the variants in fresh processes, all of them in turn, several times.

Taking turns keeps the ratios honest on a machine that others use as well: a
slow minute slows all variants of its round.
"""

from collections.abc import Callable
import json
import statistics
import subprocess

from mtf_unet.benchmark import variants as variants_lib

# A child's report: what `measurement.measure` returned and 'mode', or 'note'
# with the reason why there is nothing.
Report = dict
Command = Callable[[str, str, int], list[str]]
# Enough to see which mode of a framework is the faster one.
TRIAL_STEPS = 2


def run_child(arguments: list[str], timeout_s: float) -> Report:
  """Runs a process that prints its report as JSON on its last line.

  Args:
    arguments: the command line.
    timeout_s: seconds until it is given up.

  Returns:
    The report, or a 'note' that says how it failed.
  """
  try:
    child = subprocess.run(arguments, capture_output=True, text=True,
                           timeout=timeout_s, check=False)
  except subprocess.TimeoutExpired:
    return {'note': f'failed: not done after {timeout_s:.0f} s'}
  return report_of(child.returncode, child.stdout, child.stderr)


def report_of(status: int, output: str, error: str) -> Report:
  """Returns what a process that has ended reported.

  Args:
    status: its exit status; less than 0 where a signal ended it.
    output: what it printed, the report on the last line.
    error: what it printed to standard error.

  Returns:
    The report, or a 'note' that says how it failed.
  """
  if status:
    how = f'exit status {status}' if status > 0 else f'signal {-status}'
    lines = error.strip().splitlines() or ['no message']
    return {'note': f'failed: {how}: {lines[-1]}'}
  return json.loads(output.splitlines()[-1])


def seconds_per_step(report: Report) -> float:
  """Takes the median step of a report; infinite where it failed."""
  return statistics.median(report.get('seconds', [float('inf')]))


def fastest_modes(command: Command, timeout_s: float,
                  say: Callable[[str], None]) -> dict[str, str]:
  """Tries every mode of the variants that have several.

  Args:
    command: from variant name, mode and steps to a command line.
    timeout_s: seconds for one process.
    say: receives a line about each trial.

  Returns:
    The name of the fastest mode by variant name.
  """
  best = {}
  for variant in variants_lib.ALL:
    if len(variant.modes) > 1 and variant.installed:
      seconds = {}
      for mode in variant.modes:
        report = run_child(command(variant.name, mode, TRIAL_STEPS), timeout_s)
        seconds[mode] = seconds_per_step(report)
        say(f'trial: {variant.name}, {mode}: '
            + report.get('note', f'{seconds[mode]:.3f} s per step'))
      best[variant.name] = min(seconds, key=seconds.get)
  return best


def run_rounds(command: Command, steps: int, repeats: int,
               modes: dict[str, str], timeout_s: float,
               say: Callable[[str], None]) -> list[dict[str, Report]]:
  """Runs all variants in turn.

  Args:
    command: from variant name, mode and steps to a command line.
    steps: timed steps in each process.
    repeats: rounds.
    modes: by variant name; the first mode of a variant that is not named.
    timeout_s: seconds for one process.
    say: receives a line about each process.

  Returns:
    For each round the reports by variant name.
  """
  rounds = []
  for number in range(1, repeats + 1):
    reports = {}
    for variant in variants_lib.ALL:
      mode = modes.get(variant.name, next(iter(variant.modes)))
      if variant.installed:
        report = run_child(command(variant.name, mode, steps), timeout_s)
      else:
        report = {'note': f'{variant.requires} is not installed'}
      reports[variant.name] = {'mode': mode, **report}
      say(f'round {number} of {repeats}: {variant.name}: ' + report.get(
          'note', f'{seconds_per_step(report):.3f} s per step'))
    rounds.append(reports)
  return rounds
