import dataclasses
import json
import math
import random

import numpy as np
import pytest

from lamb import errors
from lamb.bert import checkpoints
from lamb.bert import config as config_lib
from lamb.bert import model
from lamb.bert import optimizers
from lamb.bert import squad
from lamb.bert import squad_answers
from lamb.bert import squad_features
from lamb.bert import squad_files
from lamb.bert import tokenizer as tokenizer_lib

_NAMES, _PLACES = ('anna', 'boris', 'carla'), ('oslo', 'rome', 'paris')
VOCABULARY = (*tokenizer_lib.SPECIAL, *_NAMES, *_PLACES, 'lives', 'in',
              'where', 'does', 'live', '?', '.', '##r', 'new')
TOKENIZER = tokenizer_lib.Tokenizer(VOCABULARY)
CONFIG = config_lib.BertConfig(
    vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=2,
    num_attention_heads=2, intermediate_size=64, max_position_embeddings=32,
    type_vocab_size=2, hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0)


def _question(context, answer, text='where does anna live?', number=0):
  return squad_files.Question(
      str(number), text, context, ((answer, context.index(answer)),))


def _windows(question, **options):
  config = squad_features.WindowConfig(
      **{'max_seq_length': 32, 'max_query_length': 8, 'doc_stride': 4,
         **options})
  return squad_features.windows([question], TOKENIZER, config)


def _file(folder, count=60):
  """Writes questions with one place in each context; returns the path."""
  rng, paragraphs = random.Random(0), []
  for i in range(count):
    name, place = rng.choice(_NAMES), rng.choice(_PLACES)
    context = f'{name} lives in {place}.'
    paragraphs.append({'context': context, 'qas': [{
        'id': str(i), 'question': f'Where does {name} live?',
        'answers': [{'text': place,
                     'answer_start': context.index(place)}]}]})
  path = folder / 'questions.json'
  path.write_text(json.dumps(
      {'version': '1.1', 'data': [{'title': 'x', 'paragraphs': paragraphs}]}))
  return path


def test_answer_is_found_by_its_characters():
  context = 'Anna lives in Róme, boris in Oslo.'
  (window,) = _windows(_question(context, 'Róme'))
  tokens = [VOCABULARY[i] for i in window.ids]
  assert tokens == ['[CLS]', 'where', 'does', 'anna', 'live', '?', '[SEP]',
                    'anna', 'lives', 'in', 'rome', '[UNK]', 'boris', 'in',
                    'oslo', '.', '[SEP]']
  assert window.start == window.end == 10
  assert [context[a:b] for a, b in window.spans][3:5] == ['Róme', ',']


def test_part_of_a_word_is_located_by_its_piece():
  context = 'annar lives in oslo'
  ids, spans = squad_features.locate(context, TOKENIZER)
  assert [VOCABULARY[i] for i in ids[:2]] == ['anna', '##r']
  assert [context[a:b] for a, b in spans[:2]] == ['anna', 'r']


def test_accents_that_stand_apart_belong_to_their_letter():
  context = 'in Ro\u0301me'
  _, spans = squad_features.locate(context, TOKENIZER)
  assert context[slice(*spans[1])] == 'Ro\u0301me'


def test_long_context_is_read_through_overlapping_windows():
  context = ' '.join(['boris lives in rome .'] * 4 + ['anna lives in oslo .'])
  found = _windows(_question(context, 'oslo'), max_seq_length=18)
  sizes = [len(window.spans) for window in found]
  assert sizes == [10] * 4 + [9]  # of 25 tokens, four further each time
  assert [window.start > 0 for window in found] == [False] * 4 + [True]
  for window in found:
    assert len(window.ids) <= 18
    if window.start:
      assert VOCABULARY[window.ids[window.start]] == 'oslo'
  best = np.zeros(25, int)
  for i, window in enumerate(found):
    best[4 * i:4 * i + len(window.spans)] += window.is_best
  assert (best == 1).all()  # each token has its one best window


def test_long_question_is_cut_off_and_empty_context_kept():
  question = squad_files.Question('0', 'where ' * 50, '', ())
  (window,) = _windows(question)
  assert len(window.ids) == 8 + 3
  assert window.start == window.end == 0


def _answers(starts, ends, **options):
  question = _question('anna lives in oslo.', 'oslo')
  (window,) = _windows(question)
  logits = np.full((2, 1, 32), -9.0)
  for row, values in enumerate((starts, ends)):
    for place, value in values.items():
      logits[row, 0, window.context_start + place] = value
  return squad_answers.n_best(
      [question], [window], *logits,
      squad_answers.AnswerConfig(**options))['0']


def test_likeliest_span_is_the_answer():
  found = _answers({3: 5.0, 0: 2.0}, {3: 4.0, 1: 1.0})
  assert found[0] == {
      'text': 'oslo', 'start_logit': 5.0, 'end_logit': 4.0,
      'probability': pytest.approx(found[0]['probability'])}
  assert found[1]['text'] == 'anna lives in oslo'
  shares = [each['probability'] for each in found]
  assert shares == sorted(shares, reverse=True)
  assert abs(sum(shares) - 1) < 1e-9
  assert abs(shares[0] / shares[1] - np.exp(3)) < 1e-6


def test_answer_neither_ends_before_it_starts_nor_is_too_long():
  found = _answers({3: 9.0, 0: 1.0}, {0: 9.0, 3: 1.0}, max_answer_length=2)
  texts = [each['text'] for each in found]
  assert texts[0] in ('oslo', 'anna')
  assert 'anna lives in oslo' not in texts


@pytest.mark.parametrize('name', ['n_best_size', 'max_answer_length'])
def test_no_answers_at_all_are_refused(name):
  with pytest.raises(errors.InputError, match=f'{name}: got 0, expected a'):
    squad_answers.AnswerConfig(**{name: 0})


def test_only_the_best_are_kept():
  assert len(_answers({3: 5.0}, {3: 4.0}, n_best_size=3)) <= 3


@pytest.mark.slow
def test_fine_tuning_learns_resumes_and_scores(tmp_path):
  questions = squad_files.read(_file(tmp_path))
  job = squad.Job(
      CONFIG, str(tmp_path / 'model'), learning_rate=0.01, batch_size=12,
      epochs=8, save_checkpoints_steps=15, report=lambda line: None,
      windows=squad_features.WindowConfig(
          max_seq_length=24, max_query_length=10, doc_stride=4))
  last = squad.train(job, questions, TOKENIZER)
  assert last['step'] == 40 and last['loss'] < 0.5
  assert squad.train(job, questions, TOKENIZER) == last
  (tmp_path / 'model/losses.csv').unlink()
  assert squad.train(job, questions, TOKENIZER) == {'step': 40}
  with pytest.raises(errors.InputError, match='trained by adamw, got opti'):
    squad.train(dataclasses.replace(
        job, optimizer=optimizers.OptimizerConfig('lamb')), questions,
                TOKENIZER)
  best = squad.predict(job, questions, TOKENIZER)
  found = squad.score(job, questions, best)
  assert found['f1'] > 90
  folder = tmp_path / 'model'
  predictions = json.loads((folder / 'predictions.json').read_text())
  assert predictions['0'] == best['0'][0]['text']
  assert json.loads((folder / 'nbest_predictions.json').read_text()) == best
  assert json.loads((folder / 'metrics.json').read_text()) == found
  assert checkpoints.step_of(checkpoints.latest(str(folder))) == 40


@pytest.mark.parametrize('content, message', [
    pytest.param('{}', 'no questions in the format of SQuAD', id='keys'),
    pytest.param('{"data": ', 'no questions in the format', id='cut_off'),
    pytest.param('{"data": []}', 'no questions, expected', id='empty'),
    pytest.param('{"data": [{"paragraphs": [{"context": "a b", "qas": [{"id":'
                 ' "7", "question": "?"}]}]}]}',
                 'question 7 has no answer', id='unanswered'),
    pytest.param('{"data": [{"paragraphs": [{"context": "a b", "qas": [{"id":'
                 ' "7", "question": "?", "answers": [{"text": "b", '
                 '"answer_start": 1}]}]}]}]}',
                 "question 7: the answer 'b' is not at character 1",
                 id='displaced'),
])
def test_bad_question_file_is_refused(tmp_path, content, message):
  (tmp_path / 'q.json').write_text(content)
  with pytest.raises(errors.InputError, match=message) as caught:
    squad_files.read(tmp_path / 'q.json')
  assert 'q.json' in str(caught.value)


@pytest.mark.parametrize('options, message', [
    ({'windows': squad_features.WindowConfig()},
     'max_seq_length: got 384, expected at most max_position_embeddings=32'),
    ({'batch_size': 0}, 'batch_size: got 0'),
    ({'epochs': 0.0}, 'epochs=0.0'),
    ({'predict_batch_size': 0}, 'predict_batch_size: got 0'),
    ({'save_checkpoints_steps': 0}, 'save_checkpoints_steps: got 0'),
    ({'seed': -1}, 'seed: got -1'),
    ({'learning_rate': -0.1}, 'learning_rate=-0.1'),
])
def test_bad_job_is_refused(options, message):
  windows = squad_features.WindowConfig(32, 8, 8)
  with pytest.raises(errors.InputError, match=message):
    squad.Job(CONFIG, 'unused', **{'windows': windows, **options})


def test_too_few_questions_for_a_batch_are_refused(tmp_path):
  job = squad.Job(CONFIG, str(tmp_path / 'm'), epochs=1.0, batch_size=8,
                  windows=squad_features.WindowConfig(32, 8, 8))
  with pytest.raises(errors.InputError, match='1 windows, 1.0 epochs: not'):
    squad.train(job, [_question('anna in oslo', 'oslo')], TOKENIZER)


def test_prediction_without_a_checkpoint_is_refused(tmp_path):
  job = squad.Job(CONFIG, str(tmp_path),
                  windows=squad_features.WindowConfig(32, 8, 8))
  with pytest.raises(errors.InputError, match='no checkpoint, expected'):
    squad.predict(job, [_question('anna in oslo', 'oslo')], TOKENIZER)


def test_dry_run_builds_the_graphs_and_writes_nothing(tmp_path):
  lines = []
  job = squad.Job(CONFIG, str(tmp_path / 'm'), init_checkpoint='MISSING',
                  windows=squad_features.WindowConfig(32, 8, 8),
                  report=lines.append)
  assert squad.dry_run(job) == sum(
      math.prod(shape) for shape in model.squad_shapes(CONFIG).values())
  assert lines[0].startswith('32x32: ') and 'prediction' in lines[0]
  assert not any(tmp_path.iterdir())
