"""Makes a small text, vocabulary, network and questions to try the jobs on.

The text is about people who do not exist; nothing has to be downloaded.
"""

import json
import pathlib
import random
import string
from typing import Any

from lamb import atomic_file
from lamb.bert import tokenizer

_NAMES = ('Anna', 'Boris', 'Carla', 'David', 'Emma', 'Felix', 'Greta', 'Hugo',
          'Irene', 'Jonas', 'Klara', 'Lukas')
_PLACES = ('Athens', 'Berlin', 'Cairo', 'Dublin', 'Geneva', 'Lisbon', 'Madrid',
           'Oslo', 'Prague', 'Rome', 'Tunis', 'Vienna')
_TRADES = ('baker', 'carpenter', 'doctor', 'farmer', 'gardener', 'painter',
           'teacher', 'weaver')
_MEALS = ('bread', 'cheese', 'fish', 'lentils', 'noodles', 'rice', 'soup')
_SENTENCES = (
    '{name} lives in {place}.', '{name} works as a {trade}.',
    'Every {trade} of {place} knows {name}.',
    'In the evening {name} eats {meal} with {other}.',
    'The {meal} of {place} is better than any other, says {name}.',
    '{other} came to {place} last year and met {name}.',
    'A {trade} like {name} is hard to find.')
_CONFIG = {
    'attention_probs_dropout_prob': 0.1, 'hidden_act': 'gelu',
    'hidden_dropout_prob': 0.1, 'hidden_size': 64, 'initializer_range': 0.02,
    'intermediate_size': 256, 'max_position_embeddings': 128,
    'num_attention_heads': 2, 'num_hidden_layers': 2, 'type_vocab_size': 2}

DOCUMENTS = 400
QUESTIONS = 200


def write(folder: str, seed: int = 0) -> list[str]:
  """Writes all files.

  Args:
    folder: Gets train.txt, eval.txt, vocab.txt, bert_config.json and
      questions.json.
    seed: Of the text.

  Returns:
    Their names.
  """
  rng = random.Random(seed)
  words = vocabulary()
  contents = {
      'train.txt': text(DOCUMENTS, rng), 'eval.txt': text(DOCUMENTS // 10, rng),
      'vocab.txt': '\n'.join(words) + '\n',
      'bert_config.json': json.dumps(
          _CONFIG | {'vocab_size': len(words)}, indent=2),
      'questions.json': json.dumps(questions(QUESTIONS, rng))}
  paths = [pathlib.Path(folder) / name for name in contents]
  with atomic_file.replacing(*paths) as streams:
    for stream, content in zip(streams, contents.values()):
      stream.write(content.encode('utf-8'))
  return [str(path) for path in paths]


def text(documents: int, rng: random.Random) -> str:
  """Returns documents, each about two people, in BERT's input format."""
  found = []
  for _ in range(documents):
    facts = _facts(rng)
    found.append('\n'.join(
        rng.choice(_SENTENCES).format(**facts)
        for _ in range(rng.randint(4, 12))))
  return '\n\n'.join(found) + '\n'


def questions(count: int, rng: random.Random) -> dict[str, Any]:
  """Returns questions in the format of SQuAD v1.1."""
  paragraphs = []
  for number in range(count):
    facts = _facts(rng)
    context = '{name} lives in {place}. {other} eats {meal}.'.format(**facts)
    paragraphs.append({'context': context, 'qas': [
        _question(f'{number}-{i}', ask.format(**facts), facts[key], context)
        for i, (ask, key) in enumerate([
            ('Where does {name} live?', 'place'),
            ('What does {other} eat?', 'meal')])]})
  return {'version': '1.1',
          'data': [{'title': 'people', 'paragraphs': paragraphs}]}


def vocabulary() -> list[str]:
  """Returns all words of the text and questions, and all letters."""
  plain = ' '.join((*_NAMES, *_PLACES, *_TRADES, *_MEALS, *_SENTENCES,
                    'where what does live eat'))
  for mark in string.punctuation:
    plain = plain.replace(mark, ' ')
  letters = (*string.ascii_lowercase, *string.digits)
  words = set(plain.lower().split()).difference(letters)
  return [*tokenizer.SPECIAL, *string.punctuation, *letters,
          *(tokenizer.CONTINUATION + letter for letter in letters),
          *sorted(words)]


def _facts(rng):
  name, other = rng.sample(_NAMES, 2)
  return {'name': name, 'other': other, 'place': rng.choice(_PLACES),
          'trade': rng.choice(_TRADES), 'meal': rng.choice(_MEALS)}


def _question(number, ask, answer, context):
  return {'id': number, 'question': ask, 'answers': [
      {'text': answer, 'answer_start': context.index(answer)}]}
