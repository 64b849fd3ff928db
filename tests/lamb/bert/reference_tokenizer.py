"""BERT's tokenizer, character by character, from its published algorithm.

Nothing is imported from `lamb`, so that a mistake there cannot hide here.
"""

import unicodedata

_CHINESE = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF),
            (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
            (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


def tokenize(text, vocabulary, lower_case=True):
  """Returns the pieces of a text; `vocabulary` is a set."""
  return [piece for word in _words(text, lower_case)
          for piece in _pieces(word, vocabulary)]


def _words(text, lower_case):
  cleaned = ''
  for character in text:
    if _is_space(character):
      cleaned += ' '
    elif any(low <= ord(character) <= high for low, high in _CHINESE):
      cleaned += f' {character} '
    elif not (ord(character) in (0, 0xFFFD) or _is_control(character)):
      cleaned += character
  for word in cleaned.split():
    if lower_case:
      word = ''.join(
          c for c in unicodedata.normalize('NFD', word.lower())
          if unicodedata.category(c) != 'Mn')
    apart = ''.join(f' {c} ' if _is_punctuation(c) else c for c in word)
    yield from apart.split()


def _is_space(character):
  return character in ' \t\n\r' or unicodedata.category(character) == 'Zs'


def _is_control(character):
  return character not in '\t\n\r' and unicodedata.category(
      character) in ('Cc', 'Cf')


def _is_punctuation(character):
  code = ord(character)
  return (33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96
          or 123 <= code <= 126
          or unicodedata.category(character).startswith('P'))


def _pieces(word, vocabulary):
  """Takes the longest piece from the front, again and again."""
  if len(word) > 200:
    return ['[UNK]']
  pieces, begin = [], 0
  while begin < len(word):
    for end in range(len(word), begin, -1):
      piece = ('##' if begin else '') + word[begin:end]
      if piece in vocabulary:
        break
    else:
      return ['[UNK]']
    pieces.append(piece)
    begin = end
  return pieces
