import collections
import random

import numpy as np
import pytest

from lamb.bert import sentence_pairs
from tests.lamb.bert import in_memory_creation


def _corpus(documents=30, seed=0):
  rng = random.Random(seed)
  return sentence_pairs.corpus([
      [[rng.randrange(100) for _ in range(rng.randint(1, 9))]
       for _ in range(rng.randint(1, 12))] for _ in range(documents)])


def test_corpus_joins_and_drops_what_is_empty():
  found = sentence_pairs.corpus([[[1, 2], [], [3]], [], [[]], [[4]]])
  assert found.tokens.tolist() == [1, 2, 3, 4]
  assert found.bounds == [0, 2, 3, 4]
  assert found.documents == [0, 2, 3]


def test_pairs_fit_and_no_segment_is_empty():
  pairs = sentence_pairs.pairs(_corpus(), 20, 0.1, random.Random(1))
  a, a_end, b, b_end, is_random = pairs.T
  assert ((a_end - a) + (b_end - b) <= 20).all()
  assert (a_end > a).all() and (b_end > b).all()
  assert (a_end[is_random == 0] <= b[is_random == 0]).all()


def test_about_half_of_the_second_segments_are_random():
  pairs = sentence_pairs.pairs(_corpus(400), 12, 0.0, random.Random(2))
  # Those of a single sentence always are.
  assert 0.5 < pairs[:, 4].mean() < 0.75


def test_random_segment_is_of_another_document():
  text = _corpus(40)
  starts = np.array(text.bounds)[text.documents]
  pairs = sentence_pairs.pairs(text, 20, 0.0, random.Random(3))
  own = np.searchsorted(starts, pairs[:, 0], 'right')
  other = np.searchsorted(starts, pairs[:, 2], 'right')
  assert ((own != other) == (pairs[:, 4] == 1)).all()


def test_every_sentence_is_in_some_pair():
  text = _corpus(20)
  pairs = sentence_pairs.pairs(text, 10 ** 6, 0.0, random.Random(4))
  seen = np.zeros(len(text.tokens), bool)
  for a, a_end, b, b_end, _ in pairs:
    seen[a:a_end] = seen[b:b_end] = True
  assert seen.all()


@pytest.mark.parametrize('a, b', [(9, 3), (3, 9), (6, 6), (5, 6), (6, 5)])
def test_truncation_is_that_of_one_token_after_another(a, b):
  def ours(rng):
    return sentence_pairs.truncate(0, a, 100, 100 + b, 7, rng)

  def theirs(rng):
    first, second = in_memory_creation.truncate(
        range(a), range(100, 100 + b), 7, rng)
    return first[0], first[-1] + 1, second[0], second[-1] + 1
  counts = [collections.Counter(draw(random.Random(i)) for i in range(4000))
            for draw in (ours, theirs)]
  assert set(counts[0]) == set(counts[1])
  for outcome, count in counts[1].items():
    assert abs(counts[0][outcome] - count) < 6 * count ** 0.5


def test_short_pair_stays_whole():
  assert sentence_pairs.truncate(3, 5, 8, 9, 3, random.Random(0)) == (
      3, 5, 8, 9)
