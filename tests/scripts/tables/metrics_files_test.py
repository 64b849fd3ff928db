import metrics_files
import pytest
import table_types

from tests.scripts.tables import metrics_writer


def _read(folder, path, **options):
  return metrics_files.read(
      folder, table_types.Reading('a/metrics.json', path, **options))


def test_number_is_read_with_its_run(tmp_path):
  metrics_writer.write(tmp_path / 'a/metrics.json', {'x': {'y': [0.5, 2.0]}})
  found = _read(tmp_path, ('x', 'y', 1), form='.1f', scale=0.5)
  assert (found.value, found.text) == (1.0, '1.0')
  assert found.run == metrics_writer.RUN


def test_entry_of_a_list_is_picked_by_its_values(tmp_path):
  rows = [{'name': 'a', 'state': 'x', 'value': 1},
          {'name': 'a', 'state': 'y', 'value': 2}]
  metrics_writer.write(tmp_path / 'a/metrics.json', {'rows': rows})
  assert _read(tmp_path, ('rows', {'name': 'a', 'state': 'y'}, 'value')
               ).value == 2
  assert _read(tmp_path, ('rows', {'name': 'b'}, 'value')) is None


def test_word_is_read_as_it_is(tmp_path):
  metrics_writer.write(tmp_path / 'a/metrics.json', {'x': 'diverges'})
  assert _read(tmp_path, ('x',)).text == 'diverges'


@pytest.mark.parametrize('content, run', [
    ({'x': 1.0}, None), ({'x': None}, metrics_writer.RUN),
    ({'y': 1.0}, metrics_writer.RUN),
    ({'x': 1.0}, {'seed': 0, 'commit': 'a'})],
    ids=['no run', 'null', 'other key', 'run without hash'])
def test_number_that_cannot_be_traced_is_none(tmp_path, content, run):
  metrics_writer.write(tmp_path / 'a/metrics.json', content, run)
  assert _read(tmp_path, ('x',)) is None


def test_missing_or_damaged_file_is_none(tmp_path):
  assert _read(tmp_path, ('x',)) is None
  (tmp_path / 'a').mkdir()
  (tmp_path / 'a/metrics.json').write_text('{"x": 1')
  assert _read(tmp_path, ('x',)) is None


def test_of_several_files_the_highest_number_counts(tmp_path):
  for step in (900, 1000):
    metrics_writer.write(tmp_path / f'a/metrics-{step}.json', {'step': step})
  found = metrics_files.read(
      tmp_path, table_types.Reading('a/metrics-*.json', ('step',), 'd', 1))
  assert found.value == 1000
