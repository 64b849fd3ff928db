"""Makes BERT's pre-training records out of text.

    python scripts/lamb/create_pretraining_data.py --input_file=TEXT.txt.gz \
        --output_file=OUT/train.tfrecord --vocab_file=VOCAB.txt

The flags are google-research/bert's. Text has one sentence on a line and an
empty line between documents. The records are the same with any number of
--processes, and with the same seed.
"""

import glob
import os
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import item_progress

from lamb import errors
from lamb.bert import data_creation
from lamb.bert import tokenizer

_INPUT_FILE = flags.DEFINE_string(
    'input_file', None, 'Text files or patterns, divided by commas.',
    required=True)
_OUTPUT_FILE = flags.DEFINE_string(
    'output_file', None, 'Record files to write, divided by commas.',
    required=True)
_VOCAB_FILE = flags.DEFINE_string(
    'vocab_file', None, 'Vocabulary, one token on a line.', required=True)
_DO_LOWER_CASE = flags.DEFINE_bool(
    'do_lower_case', True, 'True for an uncased vocabulary.')
_DO_WHOLE_WORD_MASK = flags.DEFINE_bool(
    'do_whole_word_mask', False, 'Mask all pieces of a word together.')
_MAX_SEQ_LENGTH = flags.DEFINE_integer(
    'max_seq_length', 128, 'Tokens in a record.')
_MAX_PREDICTIONS = flags.DEFINE_integer(
    'max_predictions_per_seq', 20, 'Masked positions in a record, at most.')
_RANDOM_SEED = flags.DEFINE_integer(
    'random_seed', 12345, 'Of everything random.')
_DUPE_FACTOR = flags.DEFINE_integer(
    'dupe_factor', 10, 'Passes over the text, each masked anew.')
_MASKED_LM_PROB = flags.DEFINE_float(
    'masked_lm_prob', 0.15, 'Share of the tokens that is predicted.')
_SHORT_SEQ_PROB = flags.DEFINE_float(
    'short_seq_prob', 0.1, 'Share of documents cut into shorter records.')
_PROCESSES = flags.DEFINE_integer(
    'processes', 0, 'Working at the same time; 0 for one on each core.')

_MEGABYTE = 1 << 20


def _input_files() -> list[str]:
  found = []
  for pattern in _INPUT_FILE.value.split(','):
    paths = [path for path in glob.glob(pattern) if os.path.isfile(path)]
    if not paths:
      raise errors.InputError(
          f'--input_file: nothing matches {pattern!r}, expected text files.')
    found += paths
  return sorted(set(found))


def _config() -> data_creation.DataConfig:
  return data_creation.DataConfig(
      vocabulary=tuple(tokenizer.read_vocabulary(_VOCAB_FILE.value)),
      do_lower_case=_DO_LOWER_CASE.value,
      do_whole_word_mask=_DO_WHOLE_WORD_MASK.value,
      max_seq_length=_MAX_SEQ_LENGTH.value,
      max_predictions_per_seq=_MAX_PREDICTIONS.value,
      random_seed=_RANDOM_SEED.value, dupe_factor=_DUPE_FACTOR.value,
      masked_lm_prob=_MASKED_LM_PROB.value,
      short_seq_prob=_SHORT_SEQ_PROB.value)


def main() -> None:
  """Writes the records and tells how many there are."""
  show = item_progress.ItemProgress('MB')

  def progress(done, total):
    # A megabyte that is begun counts, so that small files end at all of them.
    show(-(-done // _MEGABYTE), -(-total // _MEGABYTE))

  made = data_creation.create(
      _input_files(), _OUTPUT_FILE.value.split(','), _config(),
      _PROCESSES.value or os.cpu_count(), progress)
  print(f'{made.documents} documents of {made.tokens} tokens: {made.records} '
        f'records in {_OUTPUT_FILE.value}')


if __name__ == '__main__':
  command_line.run(main)
