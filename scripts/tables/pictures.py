"""Figures as PNG files, without a screen."""

import io
from typing import Any

import matplotlib

matplotlib.use('agg')

from matplotlib import pyplot  # isort: skip


def figure(width_inches: float, height_inches: float, columns: int = 1
           ) -> tuple[pyplot.Figure, Any]:
  """Returns a figure and its axes, an array if there are several columns."""
  return pyplot.subplots(1, columns, figsize=(width_inches, height_inches))


def png(drawn: pyplot.Figure) -> bytes:
  """Returns a figure as a PNG file, and closes it."""
  drawn.tight_layout()
  stream = io.BytesIO()
  drawn.savefig(stream, format='png', dpi=120)
  pyplot.close(drawn)
  return stream.getvalue()
