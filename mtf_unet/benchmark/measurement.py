"""Times a training step and reads the memory of processes (Linux)."""

from collections.abc import Callable
import math
import pathlib
import time

from mtf_unet.benchmark import problem as problem_lib

# The first step traces, compiles and allocates; the second may still choose
# kernels.
WARM_UP_STEPS = 2
_PROCESSES = pathlib.Path('/proc')
# A process, by number or as 'self'.
Process = int | str


def resident_mib(process: Process = 'self') -> float:
  """Reads the resident set of a process in MiB."""
  return _status_mib(process, 'VmRSS')


def peak_resident_mib(process: Process = 'self') -> float:
  """Reads the largest resident set since `forget_peak` in MiB."""
  return _status_mib(process, 'VmHWM')


def forget_peak(process: Process = 'self') -> None:
  """Starts the peak anew, so that what loading libraries took is left out."""
  (_PROCESSES / str(process) / 'clear_refs').write_text('5', encoding='ascii')


def _status_mib(process, key):
  path = _PROCESSES / str(process) / 'status'
  for line in path.read_text('ascii').splitlines():
    name, value = line.split(':', 1)
    if name == key:
      return int(value.split()[0]) / 1024
  raise OSError(f'{path}: has no {key}, expected a line of it')


def measure(build: Callable[[], problem_lib.Step], steps: int) -> dict:
  """Builds a step and runs it.

  Call it when the libraries are loaded and have run something: the memory in
  use then is that of an idle process.

  Args:
    build: makes the step; its memory counts.
    steps: timed steps.

  Returns:
    'seconds' and 'cpu_seconds' (of all threads) of each step, 'idle_mib',
    'peak_mib' above it, 'loss', 'parameters' and 'version'.

  Raises:
    ArithmeticError: where the loss is not finite: that was no training step.
  """
  forget_peak()
  idle = resident_mib()
  step = build()
  for _ in range(WARM_UP_STEPS):
    step.run()
  seconds, cpu_seconds = [], []
  for _ in range(steps):
    start, cpu_start = time.perf_counter(), time.process_time()
    loss = step.run()
    seconds.append(time.perf_counter() - start)
    cpu_seconds.append(time.process_time() - cpu_start)
  if not math.isfinite(loss):
    raise ArithmeticError(f'the loss is {loss}, expected a finite number')
  return {'seconds': seconds, 'cpu_seconds': cpu_seconds, 'idle_mib': idle,
          'peak_mib': peak_resident_mib() - idle, 'loss': loss,
          'parameters': step.parameters, 'version': step.version}
