"""Documents to pairs of segments, as google-research/bert makes them.

Half of the second segments follow the first, the others come from another
document (arXiv:1810.04805, section 3.1, task 2).
"""

from collections.abc import Sequence
import dataclasses
import itertools
import random

import numpy as np

# A random document is drawn so often until it is another one.
_TRIES = 10


@dataclasses.dataclass(frozen=True)
class Corpus:
  """Documents as one row of tokens.

  Attributes:
    tokens: Ids of all documents, int32 [tokens].
    bounds: Where each sentence begins, and where the last ends.
    documents: First sentence of each document, and the number of sentences.
  """

  tokens: np.ndarray
  bounds: list[int]
  documents: list[int]


def corpus(documents: Sequence[Sequence[Sequence[int]]]) -> Corpus:
  """Joins documents of sentences of ids; what is empty is left out."""
  kept = [[sentence for sentence in document if sentence]
          for document in documents]
  kept = [document for document in kept if document]
  sentences = list(itertools.chain.from_iterable(kept))
  return Corpus(
      np.fromiter(itertools.chain.from_iterable(sentences), np.int32),
      list(itertools.accumulate(map(len, sentences), initial=0)),
      list(itertools.accumulate(map(len, kept), initial=0)))


def pairs(text: Corpus, max_tokens: int, short_share: float,
          rng: random.Random) -> np.ndarray:
  """Draws the pairs of one pass over all documents.

  Args:
    text: The documents.
    max_tokens: Tokens of both segments together, at most.
    short_share: Share of documents that are cut into shorter pairs.
    rng: Source of chance.

  Returns:
    int64 [pairs, 5]: where the first segment begins and ends among the
    tokens, the same of the second, and 1 where that is a random one.
  """
  found = []
  for number in range(len(text.documents) - 1):
    found += _document_pairs(text, number, max_tokens, short_share, rng)
  return np.array(found, np.int64).reshape(-1, 5)


def _document_pairs(text, number, max_tokens, short_share, rng):
  """Cuts one document into pairs of about the target length."""
  target = max_tokens
  if rng.random() < short_share:
    target = rng.randint(2, max_tokens)
  bounds = text.bounds
  sentence, end = text.documents[number], text.documents[number + 1]
  found = []
  while sentence < end:
    stop = sentence + 1
    while stop < end and bounds[stop] - bounds[sentence] < target:
      stop += 1
    middle = sentence + 1
    if stop - sentence >= 2:
      middle = rng.randint(sentence + 1, stop - 1)
    if stop - sentence == 1 or rng.random() < 0.5:
      room = target - (bounds[middle] - bounds[sentence])
      second = _random_segment(text, number, room, rng)
      pair = (bounds[sentence], bounds[middle], *second)
      # What the first segment left of its sentences begins the next pair.
      sentence, is_random = middle, 1
    else:
      pair = (bounds[sentence], bounds[middle], bounds[middle], bounds[stop])
      sentence, is_random = stop, 0
    found.append((*truncate(*pair, max_tokens, rng), is_random))
  return found


def _random_segment(text, number, room, rng):
  """Returns begin and end of sentences of another document."""
  for _ in range(_TRIES):
    other = rng.randrange(len(text.documents) - 1)
    if other != number:
      break
  begin = rng.randrange(text.documents[other], text.documents[other + 1])
  stop = begin + 1
  while (stop < text.documents[other + 1]
         and text.bounds[stop] - text.bounds[begin] < room):
    stop += 1
  return text.bounds[begin], text.bounds[stop]


def truncate(a_begin: int, a_end: int, b_begin: int, b_end: int,
             max_tokens: int, rng: random.Random
             ) -> tuple[int, int, int, int]:
  """Shortens a pair of segments.

  As if one token after another were taken from the longer segment (from the
  second if they are alike), from its front or back by the toss of a coin.

  Args:
    a_begin: Begin of the first segment.
    a_end: Its end.
    b_begin: Begin of the second.
    b_end: Its end.
    max_tokens: Tokens of both together, at most.
    rng: Source of chance.

  Returns:
    Begin and end of both.
  """
  excess = (a_end - a_begin) + (b_end - b_begin) - max_tokens
  if excess <= 0:
    return a_begin, a_end, b_begin, b_end
  longer = (a_end - a_begin) - (b_end - b_begin)
  # First the longer one alone; then one of each in turn, the second first.
  alone = min(excess, abs(longer))
  from_a = (alone if longer > 0 else 0) + (excess - alone) // 2
  from_b = excess - from_a
  a_front, b_front = _heads(from_a, rng), _heads(from_b, rng)
  return (a_begin + a_front, a_end - (from_a - a_front),
          b_begin + b_front, b_end - (from_b - b_front))


def _heads(tosses, rng):
  """Returns how often a coin shows heads."""
  return rng.getrandbits(tosses).bit_count() if tosses else 0
