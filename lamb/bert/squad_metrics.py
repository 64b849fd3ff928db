"""Exact match and F1 of answers, by SQuAD v1.1's official rule.

Rajpurkar et al., arXiv:1606.05250, section 6.1, and its evaluate-v1.1.py: an
answer is compared with each of the true ones, the best counts.
"""

import collections
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import re
import string

_PUNCTUATION = str.maketrans('', '', string.punctuation)


def normalize(answer: str) -> str:
  """Lower-cases, drops punctuation and articles, and joins words by spaces."""
  answer = answer.lower().translate(_PUNCTUATION)
  return ' '.join(re.sub(r'\b(a|an|the)\b', ' ', answer).split())


def f1(answer: str, truth: str) -> float:
  """Returns the harmonic mean of precision and recall of words, in [0, 1]."""
  words, true_words = normalize(answer).split(), normalize(truth).split()
  common = collections.Counter(words) & collections.Counter(true_words)
  same = sum(common.values())
  if not same:
    return 0.0
  precision, recall = same / len(words), same / len(true_words)
  return 2 * precision * recall / (precision + recall)


def exact_match(answer: str, truth: str) -> float:
  """Returns 1 where both are the same after `normalize`, else 0."""
  return float(normalize(answer) == normalize(truth))


def score(truths: Iterable[tuple[str, Sequence[str]]],
          answers: Mapping[str, str]) -> dict[str, float]:
  """Scores answers.

  Args:
    truths: Id of each question and its true answers, at least one.
    answers: By id; a question without one counts as wrong.

  Returns:
    `exact_match` and `f1`, means in percent; 0 without questions.
  """
  matches, f1s = [], []
  for question, true_answers in truths:
    answer = answers.get(question)
    matches.append(0.0 if answer is None else max(
        exact_match(answer, truth) for truth in true_answers))
    f1s.append(0.0 if answer is None else max(
        f1(answer, truth) for truth in true_answers))
  count = max(len(matches), 1)
  return {'exact_match': 100 * sum(matches) / count,
          'f1': 100 * sum(f1s) / count}
