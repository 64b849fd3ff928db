"""Pre-training records with all documents in memory, one token at a time.

The way of google-research/bert's create_pretraining_data, written anew from
its published rules, to compare speed and statistics with:

    python -m tests.lamb.bert.in_memory_creation TEXT VOCAB OUTPUT [DUPES]
"""

import gzip
import random
import sys

from tests.lamb.bert import reference_tokenizer


def documents(path, vocabulary):
  """Returns all documents: lists of sentences of tokens."""
  opener = gzip.open if path.endswith('.gz') else open
  found = [[]]
  with opener(path, 'rt', encoding='utf-8') as stream:
    for line in stream:
      tokens = reference_tokenizer.tokenize(line.strip(), vocabulary)
      if not line.strip():
        found.append([])
      elif tokens:
        found[-1].append(tokens)
  return [document for document in found if document]


def examples(found, words, rng, *, length=128, most=20, dupes=10, share=0.15,
             short=0.1):
  """Returns shuffled (tokens, segments, positions, labels, is_random)."""
  rng.shuffle(found)
  made = []
  for _ in range(dupes):
    for number in range(len(found)):
      made += _of_document(found, number, words, rng, length, most, share,
                           short)
  rng.shuffle(made)
  return made


def _of_document(found, number, words, rng, length, most, share, short):
  room = length - 3
  target = rng.randint(2, room) if rng.random() < short else room
  document, chunk, size, i, made = found[number], [], 0, 0, []
  while i < len(document):
    chunk.append(document[i])
    size += len(document[i])
    if i == len(document) - 1 or size >= target:
      a_end = rng.randint(1, len(chunk) - 1) if len(chunk) > 1 else 1
      a = [token for sentence in chunk[:a_end] for token in sentence]
      is_random = len(chunk) == 1 or rng.random() < 0.5
      if is_random:
        b = _random_tokens(found, number, target - len(a), rng)
        i -= len(chunk) - a_end
      else:
        b = [token for sentence in chunk[a_end:] for token in sentence]
      a, b = truncate(a, b, room, rng)
      tokens = ['[CLS]', *a, '[SEP]', *b, '[SEP]']
      segments = [0] * (len(a) + 2) + [1] * (len(b) + 1)
      made.append((*_mask(tokens, words, rng, most, share), segments,
                   is_random))
      chunk, size = [], 0
    i += 1
  return made


def _random_tokens(found, number, room, rng):
  for _ in range(10):
    other = rng.randint(0, len(found) - 1)
    if other != number:
      break
  tokens = []
  for sentence in found[other][rng.randint(0, len(found[other]) - 1):]:
    tokens = tokens + sentence
    if len(tokens) >= room:
      break
  return tokens


def truncate(a, b, room, rng):
  """Drops tokens of the longer list until both fit."""
  a, b = list(a), list(b)
  while len(a) + len(b) > room:
    longer = a if len(a) > len(b) else b
    if rng.random() < 0.5:
      del longer[0]
    else:
      longer.pop()
  return a, b


def _mask(tokens, words, rng, most, share):
  candidates = [i for i, token in enumerate(tokens)
                if token not in ('[CLS]', '[SEP]')]
  rng.shuffle(candidates)
  count = min(most, max(1, round(len(tokens) * share)))
  masked, positions = list(tokens), sorted(candidates[:count])
  for i in positions:
    if rng.random() < 0.8:
      masked[i] = '[MASK]'
    elif rng.random() >= 0.5:
      masked[i] = words[rng.randint(0, len(words) - 1)]
  return masked, positions, [tokens[i] for i in positions]


def write(made, ids, path, length=128, most=20):
  """Writes examples as TFRecords."""
  import tensorflow as tf

  def padded(values, size):
    return [*values, *[0] * (size - len(values))]

  def whole(values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

  with tf.io.TFRecordWriter(path) as writer:
    for tokens, positions, labels, segments, is_random in made:
      weights = tf.train.FloatList(
          value=padded([1.0] * len(positions), most))
      writer.write(tf.train.Example(features=tf.train.Features(feature={
          'input_ids': whole(padded([ids[t] for t in tokens], length)),
          'input_mask': whole(padded([1] * len(tokens), length)),
          'segment_ids': whole(padded(segments, length)),
          'masked_lm_positions': whole(padded(positions, most)),
          'masked_lm_ids': whole(padded([ids[t] for t in labels], most)),
          'masked_lm_weights': tf.train.Feature(float_list=weights),
          'next_sentence_labels': whole([int(is_random)])})
      ).SerializeToString())


def main():
  """Writes records; arguments as at the top."""
  text, vocabulary, output, *dupes = sys.argv[1:]
  with open(vocabulary, encoding='utf-8') as stream:
    words = [line.strip() for line in stream]
  found = documents(text, set(words))
  made = examples(found, words, random.Random(12345),
                  dupes=int(dupes[0]) if dupes else 10)
  write(made, {word: i for i, word in enumerate(words)}, output)


if __name__ == '__main__':
  main()
