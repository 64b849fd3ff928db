import numpy as np
import pytest

from lamb.bert import masking

MASK, VOCABULARY = 4, 1000


def _mask(ids, lengths, *, most=20, whole_words=False, continues=None,
          share=0.15):
  """Masks rows whose first and last token are special."""
  ids = np.asarray(ids, np.int32)
  lengths = np.asarray(lengths)
  columns = np.arange(ids.shape[1])
  maskable = (columns > 0) & (columns < lengths[:, None] - 1)
  if continues is None:
    continues = np.zeros(ids.shape, bool)
  config = masking.MaskingConfig(share, most, whole_words, MASK, VOCABULARY)
  return masking.mask(ids, lengths, maskable, continues, config,
                      np.random.default_rng(0))


@pytest.mark.parametrize('length, most, expected', [
    (128, 20, 19), (128, 10, 10), (5, 20, 1), (10, 20, 2), (30, 20, 4)])
def test_number_of_predictions_is_the_published(length, most, expected):
  ids = np.full((3, 128), 50)
  _, positions, labels, weights = _mask(ids, [length] * 3, most=most)
  assert (weights.sum(1) == expected).all()
  assert ((positions > 0) & (positions < length - 1))[weights > 0].all()
  assert (labels[weights == 0] == 0).all()
  assert (positions[weights == 0] == 0).all()


def test_positions_are_sorted_and_labels_are_the_originals():
  ids = np.arange(5, 5 + 4 * 60).reshape(4, 60)
  masked, positions, labels, weights = _mask(ids, [60] * 4)
  for row in range(4):
    there = positions[row][weights[row] > 0]
    assert (np.diff(there) > 0).all()
    np.testing.assert_array_equal(labels[row][weights[row] > 0],
                                  ids[row, there])
    untouched = np.setdiff1d(np.arange(60), there)
    np.testing.assert_array_equal(masked[row, untouched], ids[row, untouched])


def test_eight_tenths_become_mask_one_tenth_random_one_stays():
  ids = np.full((2000, 128), 50)
  masked, positions, labels, weights = _mask(ids, [128] * 2000)
  there = weights > 0
  new = np.take_along_axis(masked, positions, 1)[there]
  assert abs((new == MASK).mean() - 0.8) < 0.01
  assert abs((new == labels[there]).mean() - 0.1) < 0.01
  drawn = new[(new != MASK) & (new != 50)]
  assert 0 <= drawn.min() < 20 and 980 < drawn.max() < VOCABULARY


def test_every_position_is_as_likely():
  _, positions, _, weights = _mask(np.full((4000, 12), 50), [12] * 4000)
  counts = np.bincount(positions[weights > 0], minlength=12)
  assert counts[[0, 11]].sum() == 0
  assert (np.abs(counts[1:11] - 800) < 6 * 800 ** 0.5).all()


def test_pieces_of_a_word_are_masked_together():
  continues = np.zeros((50, 40), bool)
  continues[:, [3, 4, 9, 15, 16, 17, 30]] = True
  words = np.cumsum(~continues[0])
  _, positions, _, weights = _mask(
      np.full((50, 40), 50), [40] * 50, whole_words=True, continues=continues)
  for row in range(50):
    there = positions[row][weights[row] > 0]
    assert 1 <= len(there) <= 6
    for word in set(words[there]):
      assert set(np.flatnonzero(words == word)) <= set(there)


def test_more_predictions_than_tokens_takes_all():
  _, _, _, weights = _mask(np.full((2, 8), 50), [5, 8], share=1.0)
  assert weights.sum(1).tolist() == [3, 6]
