"""A small vocabulary, text, records and job for the tests."""

import dataclasses
import random

import numpy as np

from lamb.bert import config as config_lib
from lamb.bert import examples
from lamb.bert import machine
from lamb.bert import pretraining
from lamb.bert import record_files
from lamb.bert import stages

WORDS = ('the', 'a', 'cat', 'dog', 'sat', 'ran', 'on', 'mat', 'tree', 'house',
         'un', '##affable', '##s', '##ing', 'naive', 'resume', 'strasse',
         '.', ',', '!', '?', '$', '力', '加', 'straß', '##e')
VOCABULARY = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *WORDS)

CONFIG = config_lib.BertConfig(
    vocab_size=50, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=12, max_position_embeddings=16, type_vocab_size=2)

# Jobs are about graphs and files: one layer builds them faster.
JOB_CONFIG = dataclasses.replace(CONFIG, num_hidden_layers=1)


def text(documents=20, seed=0):
  """Returns made-up documents in BERT's input format."""
  rng = random.Random(seed)
  plain = [word for word in WORDS if word.isalpha()]
  return '\n\n'.join('\n'.join(
      ' '.join(rng.choices(plain, k=rng.randint(3, 12))) + '.'
      for _ in range(rng.randint(2, 9)))
      for _ in range(documents)) + '\n'


def arrays(count, length=16, predictions=3, vocab_size=50, seed=0):
  """Returns the features of random examples, some of them padded."""
  rng = np.random.default_rng(seed)
  mask = np.arange(length) < rng.integers(length // 2, length + 1, (count, 1))
  return {
      'input_ids': rng.integers(5, vocab_size, (count, length)) * mask,
      'input_mask': mask.astype(int),
      'segment_ids': rng.integers(0, 2, (count, length)) * mask,
      'masked_lm_positions': rng.integers(
          0, length // 2, (count, predictions)),
      'masked_lm_ids': rng.integers(5, vocab_size, (count, predictions)),
      examples.WEIGHTS: rng.integers(
          0, 2, (count, predictions)).astype(np.float32),
      examples.LABELS: rng.integers(0, 2, (count, 1))}


def write_records(path, count=40, **sizes):
  """Writes random examples; returns the path as a str."""
  found = record_files.frames(examples.serialize(arrays(count, **sizes)))
  path.write_bytes(b''.join(found))
  return str(path)


def job(folder, files, *, batch=8, steps=4, replicas=1, **options):
  """Returns a job of one stage, or of `options['stages']`."""
  options.setdefault('stages', (stages.Stage(16, batch, steps, 0.01, 1),))
  options.setdefault('config', JOB_CONFIG)
  options.setdefault('report', lambda line: None)
  return pretraining.Job(
      model_dir=str(folder), input_files=tuple(files),
      machine=machine.Machine(replicas=replicas), **options)
