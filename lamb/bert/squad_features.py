"""Questions to windows of tokens, as google-research/bert's run_squad.

A context that is too long is read through overlapping windows. Pieces know
which characters of the context they are, so that an answer is cut out of the
context itself; run_squad finds it again by aligning words.
"""

from collections.abc import Sequence
import dataclasses
import unicodedata

import numpy as np

from lamb import errors
from lamb.bert import squad_files
from lamb.bert import tokenizer as tokenizer_lib

# What `features` returns: the encoder's inputs, and an answer's first and last
# position.
TOKENS = ('input_ids', 'input_mask', 'segment_ids')
ENDS = ('start', 'end')
# `[CLS]`, and a `[SEP]` after question and context.
_SPECIAL_TOKENS = 3


@dataclasses.dataclass(frozen=True)
class WindowConfig:
  """How contexts are cut into windows.

  Attributes:
    max_seq_length: Tokens of a window, with question and special tokens.
    doc_stride: Tokens between the starts of two windows.
    max_query_length: Tokens of a question; the rest is cut off.
  """

  max_seq_length: int = 384
  doc_stride: int = 128
  max_query_length: int = 64

  def __post_init__(self):
    for name in ('doc_stride', 'max_query_length'):
      if getattr(self, name) < 1:
        raise errors.InputError(
            f'{name}: got {getattr(self, name)!r}, expected a whole number '
            'from 1.')
    if self.max_seq_length <= self.max_query_length + _SPECIAL_TOKENS:
      raise errors.InputError(
          f'max_seq_length: got {self.max_seq_length}, expected more than '
          f'max_query_length={self.max_query_length} and {_SPECIAL_TOKENS} '
          'special tokens.')


@dataclasses.dataclass(frozen=True)
class Window:
  """A part of a context behind its question.

  Attributes:
    question: Number of the question.
    ids: Tokens, without padding.
    context_start: Where the context begins among them.
    spans: Of each token of the context: its first character in the context
      and the one after its last, [tokens, 2].
    is_best: Of each token of the context, whether this window has the most
      context around it; an answer starts there only.
    start: Position of the answer's first token; 0 where it is not here.
    end: Position of its last token.
  """

  question: int
  ids: tuple[int, ...]
  context_start: int
  spans: np.ndarray
  is_best: np.ndarray
  start: int
  end: int


def windows(questions: Sequence[squad_files.Question],
            tokenizer: tokenizer_lib.Tokenizer, config: WindowConfig
            ) -> list[Window]:
  """Cuts all questions' contexts into windows, in order.

  Args:
    questions: The questions.
    tokenizer: Splits text.
    config: Sizes.
  """
  found, context, located = [], None, None
  for number, question in enumerate(questions):
    # The questions of a paragraph follow each other.
    if question.context != context:
      context = question.context
      located = locate(context, tokenizer)
    found += _question_windows(number, question, *located, tokenizer, config)
  return found


def locate(text: str, tokenizer: tokenizer_lib.Tokenizer
           ) -> tuple[list[int], np.ndarray]:
  """Returns the ids of a text's pieces, and their characters [pieces, 2]."""
  ids, spans = [], []
  for word, places in tokenizer.located_words(text):
    begin, pieces = 0, tokenizer.pieces([word])
    for piece in pieces:
      token = tokenizer.vocabulary[piece]
      size = len(token.removeprefix(tokenizer_lib.CONTINUATION)
                 if begin else token)
      # A word that is not known is one piece.
      if token == tokenizer_lib.UNKNOWN and len(pieces) == 1:
        size = len(word)
      end = places[begin + size - 1] + 1
      while end < len(text) and unicodedata.category(text[end]) == 'Mn':
        end += 1
      ids.append(piece)
      spans.append((places[begin], end))
      begin += size
  return ids, np.array(spans, np.int64).reshape(-1, 2)


def features(found: Sequence[Window], max_seq_length: int
             ) -> dict[str, np.ndarray]:
  """Returns `TOKENS`, int32 [windows, L], and `ENDS`, int32 [windows].

  Args:
    found: The windows.
    max_seq_length: L.
  """
  shape = (len(found), max_seq_length)
  ids, mask, segments = (np.zeros(shape, np.int32) for _ in range(3))
  for row, window in enumerate(found):
    size = len(window.ids)
    ids[row, :size] = window.ids
    mask[row, :size] = 1
    segments[row, window.context_start:size] = 1
  return dict(zip(TOKENS, (ids, mask, segments))) | {
      name: np.array([getattr(each, name) for each in found], np.int32)
      for name in ENDS}


def _question_windows(number, question, ids, spans, tokenizer, config):
  query = tokenizer.ids(question.text)[:config.max_query_length]
  head = [tokenizer.id_of(tokenizer_lib.CLASS), *query,
          tokenizer.id_of(tokenizer_lib.SEPARATOR)]
  room = config.max_seq_length - len(query) - _SPECIAL_TOKENS
  places = _places(len(ids), room, config.doc_stride)
  best = _best_window(len(ids), places)
  first, last = _answer_tokens(question, spans)
  found = []
  for window, (begin, stop) in enumerate(places):
    inside = begin <= first and last < stop
    shift = len(head) - begin
    found.append(Window(
        number,
        (*head, *ids[begin:stop], tokenizer.id_of(tokenizer_lib.SEPARATOR)),
        len(head), spans[begin:stop], best[begin:stop] == window,
        first + shift if inside else 0, last + shift if inside else 0))
  return found


def _places(tokens, room, stride):
  """Returns begin and end of each window; one even of an empty context."""
  places, begin = [], 0
  while True:
    stop = min(begin + room, tokens)
    places.append((begin, stop))
    if stop == tokens:
      return places
    begin += min(room, stride)


def _best_window(tokens, places):
  """Returns for each token the window with the most context around it."""
  positions = np.arange(tokens)
  scores = np.full((len(places), tokens), -np.inf)
  for row, (begin, stop) in zip(scores, places):
    inside = slice(begin, stop)
    row[inside] = np.minimum(positions[inside] - begin,
                             stop - 1 - positions[inside])
    row[inside] += 0.01 * (stop - begin)
  return scores.argmax(0) if tokens else positions


def _answer_tokens(question, spans):
  """Returns first and last token of the first true answer; (-1, -1): none."""
  if not question.answers:
    return -1, -1
  text, start = question.answers[0]
  touched = np.flatnonzero(
      (spans[:, 1] > start) & (spans[:, 0] < start + len(text)))
  return (int(touched[0]), int(touched[-1])) if len(touched) else (-1, -1)
