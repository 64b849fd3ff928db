"""The environment in which a user starts a script."""

import os
import pathlib

ROOT = pathlib.Path(__file__).parents[2]


def variables():
  """Returns this process's variables less the tests' own for TensorFlow."""
  kept = {name: value for name, value in os.environ.items()
          if not name.startswith('TF_')}
  return kept | {'PYTHONPATH': str(ROOT)}
