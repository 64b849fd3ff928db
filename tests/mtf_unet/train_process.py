"""train.py in a process of its own, to which tests send signals."""

import contextlib
import signal
import subprocess
import sys
import time

from mtf_unet import checkpoints
from tests.mtf_unet import user_environment

# Only what hangs takes so long, on however crowded a machine.
LIMIT_S = 600.0


@contextlib.contextmanager
def running(*flags):
  """Yields the process, which is over afterwards in any case."""
  with subprocess.Popen(
      [sys.executable, str(user_environment.ROOT / 'scripts/mtf_unet/train.py'),
       *flags],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      env=user_environment.variables(),
      # A shell that runs tests in the background may have Ctrl-C ignored.
      preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
  ) as process:
    try:
      yield process
    finally:
      process.kill()


def _newest_step(model_dir):
  # Told by its name: it may be removed as soon as there are newer ones.
  path = checkpoints.latest(str(model_dir))
  return int(path.rpartition('-')[2]) if path else 0


def wait_for_step(process, model_dir, step):
  """Waits until a checkpoint of `step` or later exists."""
  end = time.monotonic() + LIMIT_S
  while _newest_step(model_dir) < step:
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < end, f'no step {step} in {LIMIT_S} s'
    time.sleep(0.01)


def ended(process):
  """Waits for the end of the process; returns its output and errors."""
  return process.communicate(timeout=LIMIT_S)
