import random

from lamb.bert import config
from lamb.bert import sample
from lamb.bert import squad_files
from lamb.bert import text_files
from lamb.bert import tokenizer


def test_sample_fits_together(tmp_path):
  sample.write(str(tmp_path))
  vocabulary = tokenizer.read_vocabulary(tmp_path / 'vocab.txt')
  network = config.read(tmp_path / 'bert_config.json')
  assert network.vocab_size == len(vocabulary) == len(set(vocabulary))
  tokens = tokenizer.Tokenizer(vocabulary)
  documents = [document for chunk in text_files.chunks(
      [str(tmp_path / 'train.txt')]) for document in chunk]
  assert len(documents) == sample.DOCUMENTS
  unknown = tokens.id_of(tokenizer.UNKNOWN)
  for document in documents:
    assert all(unknown not in tokens.ids(line) for line in document)
  questions = squad_files.read(tmp_path / 'questions.json')
  assert len(questions) == 2 * sample.QUESTIONS


def test_seed_repeats_the_text():
  first, second, other = (sample.text(5, random.Random(seed))
                          for seed in (1, 1, 2))
  assert first == second != other
