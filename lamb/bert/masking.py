"""Chooses the tokens that a masked language model has to predict.

Of each example a share of the tokens, drawn at random: 80 % of them become
`[MASK]`, 10 % a random token, 10 % stay (arXiv:1810.04805, section 3.1, task
1). All examples of an array are drawn at once.
"""

import dataclasses

import numpy as np

_MASKED = 0.8
# Of the rest, the share that stays as it is.
_KEPT = 0.5


@dataclasses.dataclass(frozen=True)
class MaskingConfig:
  """How tokens are masked.

  Attributes:
    share: Share of an example's tokens that is predicted, in (0, 1].
    max_predictions: Predictions of an example, at most.
    whole_words: Whether all pieces of a word are masked together.
    mask_id: Id of `[MASK]`.
    vocab_size: Random tokens are below it.
  """

  share: float
  max_predictions: int
  whole_words: bool
  mask_id: int
  vocab_size: int


def mask(ids: np.ndarray, lengths: np.ndarray, maskable: np.ndarray,
         continues: np.ndarray, config: MaskingConfig,
         rng: np.random.Generator
         ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """Masks the tokens of some examples.

  Args:
    ids: int32 [examples, L].
    lengths: Tokens of each, with the special ones, int64 [examples].
    maskable: Where a token may be predicted, bool [examples, L].
    continues: Where a token continues the word before it, of the same shape;
      counts for whole words only.
    config: How to mask.
    rng: Source of chance.

  Returns:
    The masked ids, int32 [examples, L]; and of the predictions, in the order
    of their positions and filled up with zeros: positions, ids, and weights
    (1 or 0), [examples, max_predictions].
  """
  wanted = np.minimum(config.max_predictions, np.maximum(
      1, np.round(lengths * config.share).astype(np.int64)))
  if config.whole_words:
    chosen = _whole_words(maskable, continues, wanted, rng)
  else:
    chosen = _pieces(maskable, wanted, rng)
  positions, weights = _positions(chosen, config.max_predictions)
  labels = np.where(weights, np.take_along_axis(ids, positions, 1), 0)
  replaced = np.where(
      rng.random(positions.shape) < _MASKED, config.mask_id,
      np.where(rng.random(positions.shape) < _KEPT, labels,
               rng.integers(config.vocab_size, size=positions.shape)))
  masked = ids.copy()
  rows = np.nonzero(weights)[0]
  masked[rows, positions[weights]] = replaced[weights]
  return masked, positions, labels, weights.astype(np.float32)


def _pieces(maskable, wanted, rng):
  """Chooses `wanted` tokens of each row; bool, of the shape of `maskable`."""
  # The lowest scores of a row win; above 1 none can.
  scores = np.where(maskable, rng.random(maskable.shape), 2.0)
  limits = np.take_along_axis(
      np.sort(scores, axis=1), wanted[:, None] - 1, 1)
  return (scores <= limits) & maskable


def _whole_words(maskable, continues, wanted, rng):
  """Chooses words in random order, skipping those that do not fit any more."""
  chosen = np.zeros_like(maskable)
  scores = rng.random(maskable.shape)
  for row, (places, count) in enumerate(zip(maskable, wanted)):
    positions = np.flatnonzero(places)
    starts = ~continues[row, positions]
    starts[:1] = True
    words = np.cumsum(starts) - 1
    left, taken = int(count), []
    sizes = np.bincount(words).tolist()
    for word in np.argsort(scores[row, :len(sizes)]).tolist():
      if sizes[word] <= left:
        left -= sizes[word]
        taken.append(word)
      if not left:
        break
    chosen[row, positions[np.isin(words, taken)]] = True
  return chosen


def _positions(chosen, max_predictions):
  """Lists the chosen positions of each row, and where there are some."""
  examples, length = chosen.shape
  # Those not chosen go to the end.
  places = np.sort(np.where(chosen, np.arange(length), length), axis=1)
  places = places[:, :max_predictions]
  if places.shape[1] < max_predictions:
    missing = max_predictions - places.shape[1]
    places = np.pad(places, ((0, 0), (0, missing)), constant_values=length)
  there = places < length
  return np.where(there, places, 0), there
