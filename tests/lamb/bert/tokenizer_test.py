import sys

import pytest

from lamb import errors
from lamb.bert import tokenizer
from tests import script_server
from tests.lamb.bert import reference_tokenizer
from tests.lamb.bert import small

_SHARED = script_server.ROOT.parent / 'shared/data'
TOKENIZER = tokenizer.Tokenizer(small.VOCABULARY)


@pytest.mark.parametrize('text, expected', [
    pytest.param('The CAT sats.', ['the', 'cat', 'sat', '##s', '.'],
                 id='case_and_pieces'),
    pytest.param('naïve re\u0301sume\u0301 RÉSUMÉ',
                 ['naive', 'resume', 'resume'], id='accents'),
    pytest.param('the力加cat', ['the', '力', '加', 'cat'], id='chinese'),
    pytest.param('c\x00a\ufffdt\x07 \u200bdog\u00a0ran\ttree\u2003a',
                 ['cat', 'dog', 'ran', 'tree', 'a'], id='control_and_spaces'),
    pytest.param('unaffable,cat!$', ['un', '##affable', ',', 'cat', '!', '$'],
                 id='punctuation'),
    pytest.param('catx \ue000cat', ['[UNK]', '[UNK]'],
                 id='unknown_and_private_use'),
    pytest.param('a' * 201, ['[UNK]'], id='too_long'),
    pytest.param('', [], id='empty'),
])
def test_text_is_split_as_published(text, expected):
  assert TOKENIZER.tokens(text) == expected
  assert reference_tokenizer.tokenize(text, set(small.VOCABULARY)) == expected


@pytest.mark.skipif(not _SHARED.is_dir(), reason='the shared data is not here')
def test_berts_sample_text_is_split_as_by_the_reference():
  vocabulary = tokenizer.read_vocabulary(_SHARED / 'bert/vocab.txt')
  tested, known = tokenizer.Tokenizer(vocabulary), set(vocabulary)
  text = (_SHARED / 'text/bert_sample_text.txt').read_text(encoding='utf-8')
  for line in text.splitlines():
    assert tested.tokens(line) == reference_tokenizer.tokenize(line, known)


def test_cased_text_keeps_case_and_accents():
  cased = tokenizer.Tokenizer((*small.VOCABULARY, 'É'), lower_case=False)
  assert cased.tokens('É Cat straße') == ['É', '[UNK]', 'straß', '##e']


@pytest.mark.parametrize('lower_case', [True, False])
def test_characters_are_split_as_by_the_reference(lower_case):
  tested = tokenizer.Tokenizer(small.VOCABULARY, lower_case)
  # All of the common alphabets, and a sample of the rest.
  for code in (*range(0x3100), *range(0x3100, sys.maxunicode, 61)):
    if not 0xD800 <= code < 0xE000:
      text = f'a{chr(code)}b'
      expected = list(reference_tokenizer._words(text, lower_case))
      assert tested.words(text) == expected, hex(code)


def test_final_sigma_is_lowered_by_its_word():
  assert TOKENIZER.words('ΟΔΟΣ ΣΑΣ!') == ['οδος', 'σας', '!']


def test_located_words_lead_back_to_the_text():
  text = 'Cafe\u0301 ΟΔΟΣ\x07, x\u0130y 力cat'
  located = TOKENIZER.located_words(text)
  assert [word for word, _ in located] == TOKENIZER.words(text)
  assert [[text[i] for i in places] for _, places in located] == [
      list('Cafe'), list('ΟΔΟΣ'), [','], ['x', '\u0130', 'y'], ['力'],
      list('cat')]


def test_vocabulary_without_special_token_is_refused():
  with pytest.raises(errors.InputError, match=r'has no \[MASK\]'):
    tokenizer.Tokenizer(('[PAD]', '[UNK]', '[CLS]', '[SEP]'))


def test_binary_vocabulary_is_refused(tmp_path):
  (tmp_path / 'vocab.txt').write_bytes(b'\xff\xfe\x00')
  with pytest.raises(errors.InputError, match='no UTF-8 text'):
    tokenizer.read_vocabulary(tmp_path / 'vocab.txt')
