"""The masked-LM accuracy that counting pairs of neighbours reaches.

    python -m tests.lamb.bert.neighbour_counts TRAIN EVAL VOCAB

What a network has to learn before it can be better: docs/bert.md compares the
scaling study's accuracy with it. Texts are in BERT's input format.
"""

import sys

import numpy as np

from lamb.bert import text_files
from lamb.bert import tokenizer as tokenizer_lib

# Tokens looked at after the left neighbour, and before the right one.
_CANDIDATES = 100
# Weight of a token's own frequency among the counts of its pairs.
_PRIOR = 5.0
# Of the tokens, 15 % are predicted and 80 % of those are masked.
_MASKED = 0.12
_PLACES = 8000


class Counts:
  """How often tokens, and pairs of them, stand in a text.

  Args:
    tokens: Ids of the text.
    size: Of the vocabulary.
  """

  def __init__(self, tokens: np.ndarray, size: int):
    self._size = size
    self.single = np.bincount(tokens, minlength=size)
    self._codes, self._counts = np.unique(
        tokens[:-1] * size + tokens[1:], return_counts=True)
    left, right = np.divmod(self._codes, size)
    self._after = self._ranked(left, right)
    self._before = self._ranked(right, left)

  def _ranked(self, given, other):
    """Returns neighbours by given token, frequent ones first, and bounds."""
    order = np.lexsort((-self._counts, given))
    return other[order], np.searchsorted(given[order],
                                         np.arange(self._size + 1))

  def after(self, token: int) -> np.ndarray:
    """Returns what follows a token, the most frequent first."""
    return self._neighbours(self._after, token)

  def before(self, token: int) -> np.ndarray:
    """Returns what stands before a token, the most frequent first."""
    return self._neighbours(self._before, token)

  def _neighbours(self, ranked, token):
    tokens, bounds = ranked
    found = tokens[bounds[token]:bounds[token + 1]]
    return found if found.size else self.single.argmax(keepdims=True)

  def between(self, left: int, right: int) -> int:
    """Returns the token that is likeliest between two others."""
    tokens = np.union1d(self.after(left)[:_CANDIDATES],
                        self.before(right)[:_CANDIDATES])
    prior = _PRIOR * self.single[tokens] / self.single.sum()
    pairs = [self._pairs(left, tokens), self._pairs(tokens, right)]
    score = sum(np.log(count + prior) for count in pairs)
    return tokens[(score - np.log(self.single[tokens] + 1.0)).argmax()]

  def _pairs(self, left, right):
    codes = left * self._size + right
    places = np.minimum(np.searchsorted(self._codes, codes),
                        len(self._codes) - 1)
    return np.where(self._codes[places] == codes, self._counts[places], 0)


def accuracies(counts: Counts, tokens: np.ndarray, places: int = _PLACES,
               seed: int = 0) -> dict[str, float]:
  """Scores guesses at random places of a text.

  Args:
    counts: Of another text.
    tokens: Ids of the text.
    places: How many.
    seed: Of the places, and of what is masked.
  """
  rng = np.random.default_rng(seed)
  frequent = counts.single.argmax()
  right = dict.fromkeys(
      ('alone', 'after', 'before', 'between', 'between, some masked'), 0)
  for place in 1 + rng.choice(len(tokens) - 2, places, replace=False):
    left_token, token, right_token = tokens[place - 1:place + 2]
    guesses = [frequent, counts.after(left_token)[0],
               counts.before(right_token)[0],
               counts.between(left_token, right_token)]
    # 0: both are masked; 1 or 2: one is seen; 3: both are.
    seen = np.dot(rng.random(2) >= _MASKED, (1, 2))
    for name, guess in zip(right, (*guesses, guesses[seen])):
      right[name] += guess == token
  return {name: float(count) / places for name, count in right.items()}


def _tokens(path, tokenizer):
  return np.array([
      token for chunk in text_files.chunks([path]) for document in chunk
      for sentence in document for token in tokenizer.ids(sentence)], np.int64)


def main() -> None:
  """Counts in one text and prints the accuracies on another."""
  train, evaluation, vocabulary = sys.argv[1:]
  tokenizer = tokenizer_lib.Tokenizer(
      tokenizer_lib.read_vocabulary(vocabulary))
  counts = Counts(_tokens(train, tokenizer), len(tokenizer))
  found = accuracies(counts, _tokens(evaluation, tokenizer))
  for name, accuracy in found.items():
    print(f'{name}: {accuracy:.3f}')


if __name__ == '__main__':
  main()
