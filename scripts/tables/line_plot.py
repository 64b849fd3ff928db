"""Draws numbers of ours over a setting, one line a series."""

import pathlib

import metrics_files
import pictures
import table_types


def draw(table: table_types.Table, runs: pathlib.Path) -> bytes | None:
  """Draws a table's line plot with the points that were measured.

  Args:
    table: with or without a plot.
    runs: folder of runs.

  Returns:
    A PNG file; None where there is no plot, or nothing to draw.
  """
  if table.plot is None:
    return None
  measured = {title: _points(series, runs)
              for title, series in table.plot.series}
  if not any(measured.values()):
    return None
  figure, axes = pictures.figure(6, 4)
  for title, points in measured.items():
    axes.plot(*zip(*points) if points else ([], []), marker='o', label=title)
  axes.set_xlabel(table.plot.setting)
  axes.set_ylabel(table.quantity)
  axes.set_title(table.title, fontsize='medium')
  axes.grid(alpha=0.3)
  axes.legend()
  return pictures.png(figure)


def _points(series, runs):
  """Returns (setting, number) of those that were measured."""
  numbers = ((setting, metrics_files.read(runs, reading))
             for setting, reading in series)
  return [(setting, number.value) for setting, number in numbers if number]
