"""Reads question files in the JSON format of SQuAD v1.1."""

import dataclasses
import json
import os

from lamb import errors


@dataclasses.dataclass(frozen=True)
class Question:
  """A question about a text.

  Attributes:
    id: Names it in the predictions.
    text: The question.
    context: The text that holds the answer.
    answers: True answers: text, and index of its first character in the
      context.
  """

  id: str
  text: str
  context: str
  answers: tuple[tuple[str, int], ...]


def read(path: str | os.PathLike) -> list[Question]:
  """Reads all questions of a file.

  Raises:
    InputError: The file is of another format, a question has no answer, or an
      answer is not in its text.
    OSError: It cannot be read.
  """
  with open(path, 'rb') as stream:
    content = stream.read()
  try:
    found = [
        _question(entry, paragraph['context'])
        for article in json.loads(content.decode('utf-8'))['data']
        for paragraph in article['paragraphs'] for entry in paragraph['qas']]
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise errors.InputError(
        f'{path}: no questions in the format of SQuAD v1.1 '
        f'({type(error).__name__}: {error}).') from error
  if not found:
    raise errors.InputError(f'{path}: no questions, expected at least one.')
  for question in found:
    _check(question, path)
  return found


def _question(entry, context):
  answers = tuple((str(answer['text']), int(answer['answer_start']))
                  for answer in entry.get('answers', ()))
  return Question(str(entry['id']), str(entry['question']), str(context),
                  answers)


def _check(question, path):
  if not question.answers:
    raise errors.InputError(
        f'{path}: question {question.id} has no answer; expected SQuAD v1.1, '
        'where each has one.')
  for text, start in question.answers:
    if start < 0 or question.context[start:start + len(text)] != text:
      raise errors.InputError(
          f'{path}: question {question.id}: the answer {text!r} is not at '
          f'character {start} of its context.')
