"""scripts/reproduce_tables.py, as a user runs it."""

import catalogue
import pytest

from tests import script_server


def _run(*arguments):
  return script_server.run('scripts/reproduce_tables.py', *arguments)


def test_list_names_tables_and_what_they_need():
  done = _run('--list')
  assert done.returncode == 0, done.stderr
  names = [line.split()[0] for line in done.stdout.splitlines()[::2]]
  assert names == list(catalogue.tables())
  assert 'small: --eval_text, --text, --vocab_file' in done.stdout


def test_papers_scale_prints_commands_resources_and_time():
  done = _run('--table=bert_f1', '--scale=paper')
  assert done.returncode == 0, done.stderr
  assert ('--stages=128x65536x7038,512x32768x1561 '
          '--num_warmup_steps=2000,200') in done.stdout
  assert '  resources: 1024 TPUs (the paper\'s)' in done.stdout
  assert '  time: 76.19 min (the paper\'s)' in done.stdout


@pytest.mark.parametrize('arguments, words', [
    (['--table=bert'], "--table: got 'bert', expected some of bert_f1"),
    ([], '--table: got none'),
    (['--table=mnist_full_batch'], '--mnist: got none, expected what'),
    (['--table=bert_batch_scaling', '--eval_text=x', '--vocab_file=y'],
     '--text: got none, expected what --table=bert_batch_scaling reads'),
])
def test_mistakes_are_told_in_one_line(arguments, words, tmp_path):
  done = _run(*arguments, f'--runs_dir={tmp_path}', f'--results_dir={tmp_path}')
  assert done.returncode == 1
  assert done.stderr.startswith('error: ') and words in done.stderr
  assert done.stderr.count('\n') == 1


def test_small_run_fills_the_table_and_without_its_file_it_is_empty(tmp_path):
  arguments = ['--table=recipes', f'--runs_dir={tmp_path / "runs"}',
               f'--results_dir={tmp_path / "results"}']
  done = _run(*arguments)
  assert done.returncode == 0, done.stderr
  table = tmp_path / 'results/recipes.md'
  filled = '| BERT, batch 32768: steps | 15625 [arXiv:1904.00962v5] | 15625 |'
  assert filled in table.read_text()
  assert {path.suffix for path in table.parent.iterdir()} == {
      '.md', '.csv', '.png'}
  assert 'done before' in _run(*arguments).stdout
  (tmp_path / 'runs/recipes/recipes.json').unlink()
  _run(*arguments, '--norun')
  empty = '| BERT, batch 32768: steps | 15625 [arXiv:1904.00962v5] |  |'
  assert empty in table.read_text()
