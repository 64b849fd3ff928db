"""Logits of windows to answers, as google-research/bert's run_squad."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from lamb import errors
from lamb.bert import squad_features
from lamb.bert import squad_files

# What is answered where no span fits.
_NOTHING = 'empty'


@dataclasses.dataclass(frozen=True)
class AnswerConfig:
  """Which spans are looked at.

  Attributes:
    n_best_size: Starts and ends of a window, and answers that are kept.
    max_answer_length: Tokens of an answer, at most.
  """

  n_best_size: int = 20
  max_answer_length: int = 30

  def __post_init__(self):
    for name in ('n_best_size', 'max_answer_length'):
      if getattr(self, name) < 1:
        raise errors.InputError(
            f'{name}: got {getattr(self, name)!r}, expected a whole number '
            'from 1.')


def n_best(questions: Sequence[squad_files.Question],
           windows: Sequence[squad_features.Window], starts: np.ndarray,
           ends: np.ndarray, config: AnswerConfig
           ) -> dict[str, list[dict[str, Any]]]:
  """Returns each question's likeliest answers, the best first.

  Args:
    questions: The questions.
    windows: Of all questions, in order.
    starts: Logits of an answer's first token, [windows, L].
    ends: Logits of its last token, [windows, L].
    config: Which spans are looked at.

  Returns:
    By id: dicts of text, probability, start_logit, end_logit.
  """
  spans = [[] for _ in questions]
  for window, start, end in zip(windows, starts, ends):
    spans[window.question] += _window_spans(
        questions[window.question].context, window, start, end, config)
  return {question.id: _ranked(found, config.n_best_size)
          for question, found in zip(questions, spans)}


def _window_spans(context, window, starts, ends, config):
  """Returns (start logit, end logit, text) of the spans of a window."""
  first = window.context_start
  stop = first + len(window.spans)
  starts, ends = starts[first:stop], ends[first:stop]
  best_ends = np.argsort(-ends, kind='stable')[:config.n_best_size]
  found = []
  for start in np.argsort(-starts, kind='stable')[:config.n_best_size]:
    if not window.is_best[start]:
      continue
    for end in best_ends:
      if start <= end < start + config.max_answer_length:
        text = context[window.spans[start, 0]:window.spans[end, 1]]
        found.append((float(starts[start]), float(ends[end]), text))
  return found


def _ranked(spans, count):
  """Returns the best spans of different texts, with their probabilities."""
  kept = {}
  for start, end, text in sorted(
      spans, key=lambda span: -(span[0] + span[1])):
    if len(kept) == count:
      break
    kept.setdefault(text, (start, end))
  if not kept:
    kept[_NOTHING] = (0.0, 0.0)
  sums = np.array([start + end for start, end in kept.values()])
  shares = np.exp(sums - sums.max())
  shares /= shares.sum()
  return [{'text': text, 'probability': float(share), 'start_logit': start,
           'end_logit': end}
          for (text, (start, end)), share in zip(kept.items(), shares)]
