"""Gives a thread its scheduling back after a library has changed it.

SVT-AV1, run as root on Linux, makes the thread that opens an encoder a
real-time one (SCHED_FIFO, 99) and leaves it so. All that the thread starts
afterwards inherits it, and two such threads that wait by spinning stop the
whole machine.
"""

from collections.abc import Iterator
import contextlib
import os


@contextlib.contextmanager
def kept() -> Iterator[None]:
  """Restores policy and priority of the calling thread at the block's end.

  Does nothing where the system has no such call (Windows, macOS).
  """
  if not hasattr(os, 'sched_setscheduler'):
    yield
    return
  policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
  try:
    yield
  finally:
    if os.sched_getscheduler(0) != policy:
      os.sched_setscheduler(0, policy, parameters)
