import pathlib

import pytest
import small_runs
import table_types

from mtf_unet import errors

_COUNTING = '''
import json, pathlib, sys
path = pathlib.Path(sys.argv[2])
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps({"input": sys.argv[1]}))
with open(path.parent / "log", "a") as stream:
  stream.write(path.name)
'''


@pytest.fixture
def table(tmp_path):
  script = tmp_path / 'script.py'
  script.write_text(_COUNTING)
  return table_types.Table('t', 'T', 'q', (), small_jobs=tuple(
      table_types.SmallJob(f't/{name}.json', (
          str(script), '{mnist}', f'{{runs}}/t/{name}.json'))
      for name in ('a', 'b')))


def test_jobs_run_once_and_go_on(table, tmp_path):
  lines = []
  for _ in range(2):
    small_runs.run(table, tmp_path, {'mnist': 'M'}, lines.append)
  assert (tmp_path / 't/log').read_text() == 'a.jsonb.json'
  (tmp_path / 't/b.json').unlink()
  small_runs.run(table, tmp_path, {'mnist': 'M'}, lines.append)
  assert (tmp_path / 't/log').read_text() == 'a.jsonb.jsonb.json'
  assert sum('done before' in line for line in lines) == 3
  assert 'time: not known' in lines[0]


def test_missing_input_is_named_before_anything_runs(table, tmp_path):
  with pytest.raises(errors.InputError, match='--mnist: got none'):
    small_runs.run(table, tmp_path, {'mnist': None})
  assert not (tmp_path / 't').exists()


@pytest.mark.parametrize('script, words', [
    ('raise SystemExit(3)', 'ended with status 3 and an error'),
    ('', 'status 0 and without .*a.json')])
def test_failing_job_is_named(table, tmp_path, script, words, capfd):
  pathlib.Path(table.small_jobs[0].command[0]).write_text(script)
  with pytest.raises(errors.InputError, match=words):
    small_runs.run(table, tmp_path, {'mnist': 'M'})
