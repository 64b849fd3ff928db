"""Text to pre-training records, with google-research/bert's options.

  text_files -> tokenizer -> sentence_pairs -> masking -> examples -> files

google-research's script holds all documents in memory. Here text passes in
chunks of documents, each by itself in one of several processes: the second
segment of a pair that is no real one comes from another document of the same
chunk, and records are shuffled within it. What a chunk becomes is a function
of the seed and its number, so the files are the same with any number of
processes. No TensorFlow is imported.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import concurrent.futures
import dataclasses
import multiprocessing
import random

import numpy as np

from lamb import atomic_file
from lamb import errors
from lamb.bert import examples
from lamb.bert import masking
from lamb.bert import record_files
from lamb.bert import sentence_pairs
from lamb.bert import text_files
from lamb.bert import tokenizer as tokenizer_lib

# `[CLS]`, and a `[SEP]` after each segment.
_SPECIAL_TOKENS = 3
# Chunks under way for each process: one is worked on, one waits.
_CHUNKS_AHEAD = 2


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """Options of google-research/bert's create_pretraining_data.

  Attributes:
    vocabulary: Tokens by id.
    do_lower_case: Whether the vocabulary is an uncased one.
    do_whole_word_mask: Whether all pieces of a word are masked together.
    max_seq_length: Tokens in a record.
    max_predictions_per_seq: Masked positions in a record.
    random_seed: Of everything random.
    dupe_factor: Passes over the text, each masked anew.
    masked_lm_prob: Share of the tokens that is predicted.
    short_seq_prob: Share of documents that are cut into shorter records.
  """

  vocabulary: tuple[str, ...]
  do_lower_case: bool = True
  do_whole_word_mask: bool = False
  max_seq_length: int = 128
  max_predictions_per_seq: int = 20
  random_seed: int = 12345
  dupe_factor: int = 10
  masked_lm_prob: float = 0.15
  short_seq_prob: float = 0.1

  def __post_init__(self):
    for name, least in (('max_seq_length', 5), ('max_predictions_per_seq', 1),
                        ('dupe_factor', 1), ('random_seed', 0)):
      if getattr(self, name) < least:
        raise errors.InputError(
            f'{name}: got {getattr(self, name)!r}, expected a whole number '
            f'from {least}.')
    if not 0 < self.masked_lm_prob <= 1:
      raise errors.InputError(
          f'masked_lm_prob: got {self.masked_lm_prob!r}, expected a number in '
          '(0, 1].')
    if not 0 <= self.short_seq_prob <= 1:
      raise errors.InputError(
          f'short_seq_prob: got {self.short_seq_prob!r}, expected a number in '
          '[0, 1].')


@dataclasses.dataclass(frozen=True)
class Created:
  """What was made.

  Attributes:
    documents: Documents read.
    tokens: Tokens of the text.
    records: Records written.
  """

  documents: int = 0
  tokens: int = 0
  records: int = 0

  def __add__(self, other: 'Created') -> 'Created':
    return Created(self.documents + other.documents,
                   self.tokens + other.tokens, self.records + other.records)


class ChunkMaker:
  """Makes the records of a chunk of documents."""

  def __init__(self, config: DataConfig):
    """Prepares the tokenizer.

    Args:
      config: Options.

    Raises:
      InputError: The vocabulary lacks a special token.
    """
    self._config = config
    self._tokenizer = tokenizer_lib.Tokenizer(
        config.vocabulary, config.do_lower_case)
    self._class, self._separator, mask_id = map(
        self._tokenizer.id_of, (tokenizer_lib.CLASS, tokenizer_lib.SEPARATOR,
                                tokenizer_lib.MASK))
    self._masking = masking.MaskingConfig(
        config.masked_lm_prob, config.max_predictions_per_seq,
        config.do_whole_word_mask, mask_id, len(self._tokenizer))
    self._continues = np.array([
        token.startswith(tokenizer_lib.CONTINUATION)
        for token in config.vocabulary])

  def make(self, documents: Sequence[text_files.Document], number: int
           ) -> tuple[list[bytes], Created]:
    """Makes records.

    Args:
      documents: Lists of sentences.
      number: Of the chunk, from 0.

    Returns:
      Frames of a TFRecord file, in random order, and what they were made of.
    """
    config = self._config
    text = sentence_pairs.corpus([
        [self._tokenizer.ids(sentence) for sentence in document]
        for document in documents])
    frames = []
    for passed in range(config.dupe_factor):
      seed = (config.random_seed, number, passed)
      pairs = sentence_pairs.pairs(
          text, config.max_seq_length - _SPECIAL_TOKENS,
          config.short_seq_prob, random.Random(repr(seed)))
      frames += record_files.frames(
          examples.serialize(self._features(text.tokens, pairs, seed)))
    random.Random(repr((config.random_seed, number))).shuffle(frames)
    return frames, Created(
        len(text.documents) - 1, len(text.tokens), len(frames))

  def _features(self, tokens, pairs, seed):
    """Returns the features of pairs of segments, see `examples`."""
    shape = (len(pairs), self._config.max_seq_length)
    ids, segments = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    special = np.zeros(shape, bool)
    lengths = np.zeros(len(pairs), np.int64)
    for row, (a, a_end, b, b_end, _) in enumerate(pairs.tolist()):
      first = a_end - a + 2
      last = lengths[row] = first + b_end - b + 1
      ids[row, 0] = self._class
      ids[row, 1:first - 1] = tokens[a:a_end]
      ids[row, first - 1] = ids[row, last - 1] = self._separator
      ids[row, first:last - 1] = tokens[b:b_end]
      segments[row, first:last] = 1
      special[row, [0, first - 1, last - 1]] = True
    there = np.arange(shape[1]) < lengths[:, None]
    masked, positions, labels, weights = masking.mask(
        ids, lengths, there & ~special, self._continues[ids], self._masking,
        np.random.Generator(np.random.Philox(np.random.SeedSequence(seed))))
    return {
        'input_ids': masked, 'input_mask': there.astype(np.int32),
        'segment_ids': segments, 'masked_lm_positions': positions,
        'masked_lm_ids': labels, examples.WEIGHTS: weights,
        examples.LABELS: pairs[:, 4:]}


def create(input_files: Sequence[str], output_files: Sequence[str],
           config: DataConfig, processes: int = 1,
           progress: Callable[[int, int], None] = lambda done, total: None
           ) -> Created:
  """Makes record files; the records are dealt out to them in turn.

  Args:
    input_files: Text, see `text_files`.
    output_files: Record files; they appear, whole, at the end.
    config: Options.
    processes: That make records at the same time.
    progress: Told how many of all bytes of text have been read.

  Raises:
    InputError: A file is no text, holds none, or the vocabulary is no BERT's.
    OSError: A file cannot be read or written.
  """
  if processes < 1:
    raise errors.InputError(
        f'processes: got {processes!r}, expected a whole number from 1.')
  total = Created()
  chunks = text_files.chunks(input_files, progress=progress)
  with atomic_file.replacing(*output_files) as streams:
    for frames, made in _made(chunks, config, processes):
      for i, stream in enumerate(streams):
        first = (i - total.records) % len(streams)
        stream.write(b''.join(frames[first::len(streams)]))
      total += made
    if not total.records:
      raise errors.InputError(
          f'{", ".join(input_files)}: no text, expected one sentence on a '
          'line and an empty line between documents.')
  return total


def _made(chunks: Iterator[list[text_files.Document]], config: DataConfig,
          processes: int) -> Iterator[tuple[list[bytes], Created]]:
  """Yields what chunks become, in their order."""
  maker = ChunkMaker(config)
  if processes == 1:
    for number, documents in enumerate(chunks):
      yield maker.make(documents, number)
    return
  # Started afresh, not forked: a fork would share locks of other threads.
  context = multiprocessing.get_context('spawn')
  pending = collections.deque()
  with concurrent.futures.ProcessPoolExecutor(
      processes, context, _prepare_process, (config,)) as pool:
    try:
      for number, documents in enumerate(chunks):
        pending.append(pool.submit(_make_in_process, documents, number))
        if len(pending) >= _CHUNKS_AHEAD * processes:
          yield pending.popleft().result()
      while pending:
        yield pending.popleft().result()
    except concurrent.futures.BrokenExecutor as error:
      raise errors.InputError(
          f'processes={processes}: one of them died, perhaps for want of '
          'memory; expected fewer.') from error
    finally:
      for future in pending:
        future.cancel()


_process_maker: list[ChunkMaker] = []


def _prepare_process(config):
  """Makes the process's own ChunkMaker, once."""
  _process_maker.append(ChunkMaker(config))


def _make_in_process(documents, number):
  return _process_maker[0].make(documents, number)
