import pytest

from lamb.bert import squad_metrics


@pytest.mark.parametrize('answer, expected', [
    ('The  Eiffel Tower!', 'eiffel tower'), ('an apple, a day', 'apple day'),
    ('Theatre', 'theatre'), ('U.S.', 'us'), ('', '')])
def test_answers_are_normalized_by_the_official_rule(answer, expected):
  assert squad_metrics.normalize(answer) == expected


def test_f1_is_worked_by_hand():
  # Two of three words right, of four true ones: 2 * 2/3 * 2/4 / (2/3 + 2/4).
  assert squad_metrics.f1('big red dog', 'red dog ran off') == pytest.approx(
      4 / 7)
  assert squad_metrics.f1('dog dog', 'dog') == pytest.approx(2 / 3)
  assert squad_metrics.f1('cat', 'dog') == 0
  assert squad_metrics.f1('the', 'dog') == 0


def test_best_of_the_true_answers_counts_and_a_missing_one_is_wrong():
  found = squad_metrics.score(
      [('1', ['Paris', 'the city of Paris']), ('2', ['Rome']), ('3', ['x'])],
      {'1': 'city of Paris', '2': 'ancient Rome'})
  assert found['exact_match'] == pytest.approx(100 / 3)
  assert found['f1'] == pytest.approx(100 * (1 + 2 / 3) / 3)


def test_no_questions_score_zero():
  assert squad_metrics.score([], {}) == {'exact_match': 0.0, 'f1': 0.0}
