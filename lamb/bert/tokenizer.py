"""Text to WordPiece tokens, as google-research/bert splits it.

The cleaning and splitting into words is BERT's `BasicTokenizer`, done with
tables over whole lines; `tokenizers` (Rust) splits words into pieces. Its own
BERT normalizer is not used: it drops characters that are unassigned or for
private use, which BERT keeps.
"""

from collections.abc import Iterable
from collections.abc import Sequence
import itertools
import os
import unicodedata

import tokenizers

from lamb import errors

PADDING, UNKNOWN, CLASS, SEPARATOR, MASK = SPECIAL = (
    '[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
CONTINUATION = '##'

_LONGEST_WORD = 200
# Words are remembered, for text repeats them; cleared before it is too much.
_REMEMBERED_WORDS = 1 << 20
# Blocks of Chinese characters, each of which is a word of its own.
_CHINESE = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF),
            (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
            (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


class _CleanTable(dict):
  """Maps a character: controls to nothing, spaces to ' ', Chinese apart."""

  def __missing__(self, code):
    character = chr(code)
    category = unicodedata.category(character)
    if character in '\t\n\r' or category == 'Zs':
      value = ' '
    elif code in (0, 0xFFFD) or category in ('Cc', 'Cf'):
      value = ''
    elif any(low <= code <= high for low, high in _CHINESE):
      value = f' {character} '
    else:
      value = code
    self[code] = value
    return value


class _SplitTable(dict):
  """Maps a character: punctuation apart, and accents to nothing if wanted."""

  def __init__(self, strips_accents):
    super().__init__()
    self._strips_accents = strips_accents

  def __missing__(self, code):
    character = chr(code)
    category = unicodedata.category(character)
    # All of ASCII that is no letter or digit counts, such as '$' and '^'.
    ascii_mark = 33 <= code <= 126 and not character.isalnum()
    if self._strips_accents and category == 'Mn':
      value = ''
    elif ascii_mark or category.startswith('P'):
      value = f' {character} '
    else:
      value = code
    self[code] = value
    return value


class _Words(dict):
  """Maps a word to the ids of its pieces."""

  def __init__(self, model):
    super().__init__()
    self._model = model

  def __missing__(self, word):
    if len(self) >= _REMEMBERED_WORDS:
      self.clear()
    ids = self[word] = [token.id for token in self._model.tokenize(word)]
    return ids


class Tokenizer:
  """Splits text into the pieces of one vocabulary.

  Attributes:
    vocabulary: Tokens by id.
    lower_case: Whether text is lower-cased and loses its accents.
  """

  def __init__(self, vocabulary: Sequence[str], lower_case: bool = True):
    """Prepares the tables.

    Args:
      vocabulary: Tokens by id, as in BERT's vocab.txt.
      lower_case: Whether the vocabulary is an uncased one.

    Raises:
      InputError: A special token is missing.
    """
    self.vocabulary, self.lower_case = tuple(vocabulary), lower_case
    self._ids = {token: i for i, token in enumerate(self.vocabulary)}
    for token in SPECIAL:
      if token not in self._ids:
        raise errors.InputError(
            f'vocabulary: has no {token}, expected BERT\'s vocab.txt with one '
            'token on a line.')
    self._words = _Words(tokenizers.models.WordPiece(
        self._ids, unk_token=UNKNOWN, max_input_chars_per_word=_LONGEST_WORD,
        continuing_subword_prefix=CONTINUATION))
    self._clean = _CleanTable()
    self._split = _SplitTable(lower_case)

  def __len__(self):
    return len(self.vocabulary)

  def id_of(self, token: str) -> int:
    """Returns the id of a token of the vocabulary."""
    return self._ids[token]

  def words(self, text: str) -> list[str]:
    """Splits text at spaces and around punctuation and Chinese characters."""
    return self._normalize(text).split()

  def located_words(self, text: str) -> list[tuple[str, list[int]]]:
    """Splits as `words`, and tells where each character of a word stood.

    Args:
      text: Any.

    Returns:
      Each word, and for each of its characters the index in the text.
    """
    found, word, places = [], '', []
    for i, character in enumerate(text):
      for part in self._normalize(character):
        if not part.isspace():
          word, places = word + part, [*places, i]
        elif word:
          found.append((word, places))
          word, places = '', []
    if word:
      found.append((word, places))
    # A sigma at the end of a word has a lower case of its own, which a
    # character by itself cannot know.
    return [(word, places)
            for word, (_, places) in zip(self.words(text), found)]

  def _normalize(self, text):
    """Cleans text and sets spaces between its words."""
    text = text.translate(self._clean)
    if self.lower_case:
      text = unicodedata.normalize('NFD', text.lower())
    return text.translate(self._split)

  def pieces(self, words: Iterable[str]) -> list[int]:
    """Returns the ids of the pieces of words that `words` has split."""
    return list(itertools.chain.from_iterable(
        map(self._words.__getitem__, words)))

  def ids(self, text: str) -> list[int]:
    """Returns the ids of the pieces of a text."""
    return self.pieces(self.words(text))

  def tokens(self, text: str) -> list[str]:
    """Returns the pieces of a text."""
    return [self.vocabulary[i] for i in self.ids(text)]


def read_vocabulary(path: str | os.PathLike) -> list[str]:
  """Reads vocab.txt: one token on a line.

  Raises:
    InputError: The file is no UTF-8 text.
    OSError: It cannot be read.
  """
  try:
    with open(path, encoding='utf-8', newline='\n') as stream:
      return [line.strip() for line in stream]
  except UnicodeDecodeError as error:
    raise errors.InputError(
        f'{path}: no UTF-8 text, expected a vocabulary with one token on a '
        'line.') from error
