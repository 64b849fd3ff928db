"""Writes the test vectors of all shipped filters anew.

  python scripts/cnn_loopfilter/make_vectors.py

To be run after a filter in cnn_loopfilter/pretrained/ was changed or added.
"""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

import command_line

from cnn_loopfilter import pretrained
from cnn_loopfilter import vectors


def main() -> None:
  """Writes them, and removes those of filters that are gone."""
  for old in (*vectors.FOLDER.glob('*.json'), *vectors.FOLDER.glob('*.yuv')):
    old.unlink()
  for name in pretrained.names():
    print(f'{name}: {vectors.write(name)} cases')


if __name__ == '__main__':
  command_line.run(main)
