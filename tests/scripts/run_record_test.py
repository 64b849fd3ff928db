import pytest
import run_record


def test_hash_depends_on_values_and_not_on_their_order():
  first = run_record.config_hash({'a': 1, 'b': {'c': (1, 2)}})
  assert first == run_record.config_hash({'b': {'c': (1, 2)}, 'a': 1})
  assert first != run_record.config_hash({'a': 1, 'b': {'c': (1, 3)}})
  assert len(first) == 16


def test_run_is_described(monkeypatch):
  monkeypatch.setattr('sys.argv', ['/somewhere/script.py', '--flag=1'])
  found = run_record.describe({'a': 1}, seed=7)
  assert found['seed'] == 7
  assert found['command'] == 'python script.py --flag=1'
  assert found['config_hash'] == run_record.config_hash({'a': 1})
  assert found['machine'].endswith('cores')


@pytest.mark.parametrize('answers, commit', [
    (('c0ffee', ''), 'c0ffee'), (('c0ffee', ' M file'), 'c0ffee-modified')])
def test_changed_files_show_in_the_commit(monkeypatch, answers, commit):
  left = list(answers)
  monkeypatch.setattr(run_record, '_git', lambda *_: left.pop(0))
  assert run_record.describe({}, seed=0)['commit'] == commit


def test_copy_without_git_has_no_commit(monkeypatch):
  def no_git(*_):
    raise FileNotFoundError('git')
  monkeypatch.setattr(run_record, '_git', no_git)
  assert run_record.describe({}, seed=0)['commit'] == 'unknown'
