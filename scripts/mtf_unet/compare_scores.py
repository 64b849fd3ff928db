"""Compares two evaluations of the same cases, with paired intervals.

  python scripts/mtf_unet/compare_scores.py \
      --first=MODEL_A/eval/metrics-4000.json \
      --second=MODEL_B/eval/metrics-6000.json

prints Dice, HD95 and average surface distance of both, by class and over the
classes, the mean difference within a case and its 95 % bootstrap interval.
"""

import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line

from mtf_unet import paired_comparison

_FIRST = flags.DEFINE_string(
    'first', None, 'metrics-STEP.json of one network.', required=True)
_SECOND = flags.DEFINE_string(
    'second', None, 'That of another one on the same cases.', required=True)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the bootstrap.')


def main() -> None:
  """Prints the table."""
  first, second = (paired_comparison.read(flag.value)
                   for flag in (_FIRST, _SECOND))
  print(paired_comparison.format_table(
      paired_comparison.compare(first, second, _SEED.value)))


if __name__ == '__main__':
  command_line.run(main)
