"""Draws the loss of runs by step and by example."""

from collections.abc import Mapping
import pathlib

import metrics_files
import pictures
import table_types

# Keys of a curve: the two axes, and the value.
_AXES = ('step', 'examples')
_VALUE = 'masked_lm_loss'

Curves = Mapping[str, Mapping[str, list[float]]]


def read(table: table_types.Table, runs: pathlib.Path) -> Curves:
  """Returns the curves of those runs that are done, by title.

  Args:
    table: names the metrics files.
    runs: folder of runs.
  """
  found = {title: metrics_files.read_content(runs, file).get('curve')
           for title, file in table.curves}
  return {title: curve for title, curve in found.items() if curve}


def draw(curves: Curves) -> bytes:
  """Draws all curves twice, by step and by example.

  Args:
    curves: of `read`, at least one.

  Returns:
    A PNG file.
  """
  figure, both = pictures.figure(12, 4.5, columns=len(_AXES))
  for axes, key in zip(both, _AXES):
    for title, curve in curves.items():
      axes.plot(curve[key], curve[_VALUE], label=title, linewidth=1)
    axes.set_xlabel(key)
    axes.set_ylabel('masked-LM loss, nats')
    axes.set_xscale('log')
  both[-1].legend(fontsize='small')
  return pictures.png(figure)
