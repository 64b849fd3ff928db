import pytest

from tests import script_server
from tests.lamb.bert import small

_CONFIG = """{"vocab_size": 60, "hidden_size": 8, "num_hidden_layers": 1,
"num_attention_heads": 2, "intermediate_size": 8,
"max_position_embeddings": 32, "type_vocab_size": 2}"""


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'text.txt').write_text(small.text(), encoding='utf-8')
  (tmp_path / 'vocab.txt').write_text('\n'.join(small.VOCABULARY) + '\n',
                                      encoding='utf-8')
  (tmp_path / 'config.json').write_text(_CONFIG)
  return tmp_path


def _run(folder, script, *arguments):
  """Runs a script in a folder; returns status, output and errors."""
  done = script_server.run(f'scripts/lamb/{script}', *arguments, cwd=folder)
  return done.returncode, done.stdout, done.stderr


def _create(folder, *arguments):
  return _run(folder, 'create_pretraining_data.py', '--input_file=text.txt',
              '--output_file=out/a.tfrecord,out/b.tfrecord',
              '--vocab_file=vocab.txt', '--max_seq_length=32',
              '--max_predictions_per_seq=5', '--processes=1', *arguments)


@pytest.mark.slow
def test_text_to_evaluated_network(folder):
  status, output, problems = _create(folder)
  assert status == 0, problems
  assert output.startswith('20 documents of ')
  arguments = ('--bert_config_file=config.json', '--output_dir=model',
               '--max_seq_length=32', '--max_predictions_per_seq=5',
               '--learning_rate=0.01', '--num_warmup_steps=2')
  status, output, problems = _run(
      folder, 'pretrain_bert.py', '--do_train', '--do_eval',
      '--input_file=out/*.tfrecord', '--num_train_steps=6', *arguments)
  assert status == 0, problems
  assert 'step 6/6' in problems and 'left' in problems
  assert 'masked_lm_accuracy = ' in output
  status, output, problems = _run(
      folder, 'pretrain_bert.py', '--do_train', '--num_train_steps=6',
      '--input_file=out/*.tfrecord', *arguments)
  assert status == 0 and 'already at step 6 of 6' in output


@pytest.mark.slow
def test_dry_run_of_a_job_of_stages(folder):
  status, output, problems = _run(
      folder, 'pretrain_bert.py', '--dry_run', '--output_dir=model',
      '--bert_config_file=config.json', '--recipe=untuned',
      '--stages=16x1024x4000,32x512x3200', '--accumulate_steps=64')
  assert status == 0, problems
  assert [line.split(':')[0] for line in output.splitlines()] == [
      'Stage 16x1024x4000', 'Stage 32x512x3200']
  assert not (folder / 'model').exists()


@pytest.mark.parametrize('arguments, message', [
    pytest.param(['--input_file=none.txt'], "nothing matches 'none.txt'",
                 id='input'),
    pytest.param(['--vocab_file=none'], 'No such file', id='no_vocabulary'),
    pytest.param(['--vocab_file=text.txt'], 'has no [PAD]', id='vocabulary'),
    pytest.param(['--max_seq_length=2'], 'max_seq_length: got 2', id='size'),
    pytest.param(['--sequence=2'], 'sequence', id='flag'),
])
def test_mistakes_in_data_creation_are_one_line(folder, arguments, message):
  status, _, problems = _create(folder, *arguments)
  assert status == 1
  assert problems.startswith('error: ') and problems.count('\n') == 1
  assert message in problems
  assert not list(folder.glob('out/*'))


@pytest.mark.slow
@pytest.mark.parametrize('arguments, message', [
    pytest.param(['--do_train'], '--input_file: missing', id='input'),
    pytest.param([], 'expected --do_train, --do_eval or --dry_run',
                 id='nothing_to_do'),
    pytest.param(['--dry_run', '--recipe=untuned', '--learning_rate=1'],
                 'expected no --learning_rate', id='recipe'),
])
def test_mistakes_in_pretraining_are_one_line(folder, arguments, message):
  status, _, problems = _run(
      folder, 'pretrain_bert.py', '--bert_config_file=config.json',
      '--output_dir=model', '--max_seq_length=32', *arguments)
  assert status == 1
  assert problems.startswith('error: ') and problems.count('\n') == 1
  assert message in problems


@pytest.mark.slow
@pytest.mark.parametrize('arguments, message', [
    pytest.param([], 'expected --do_train, --do_predict or --dry_run',
                 id='nothing'),
    pytest.param(['--do_train', '--train_file=text.txt'],
                 'no questions in the format', id='format'),
])
def test_mistakes_in_fine_tuning_are_one_line(folder, arguments, message):
  status, _, problems = _run(
      folder, 'finetune_squad.py', '--bert_config_file=config.json',
      '--output_dir=model', '--vocab_file=vocab.txt', '--max_seq_length=32',
      '--max_query_length=8', *arguments)
  assert status == 1
  assert problems.startswith('error: ') and problems.count('\n') == 1
  assert message in problems
