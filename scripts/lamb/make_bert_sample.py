"""Writes a small text, vocabulary, network and questions to try BERT's jobs on.

    python scripts/lamb/make_bert_sample.py --output_dir=SAMPLE
"""

import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line

from lamb.bert import sample

_OUTPUT_DIR = flags.DEFINE_string(
    'output_dir', None, 'Folder to write to.', required=True)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the text.')


def main() -> None:
  """Writes the files and names them."""
  print('\n'.join(sample.write(_OUTPUT_DIR.value, _SEED.value)))


if __name__ == '__main__':
  command_line.run(main)
