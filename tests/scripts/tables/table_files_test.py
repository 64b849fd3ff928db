import csv
import dataclasses

import table_files
import table_types

from tests.scripts.tables import metrics_writer

_TABLE = table_types.Table(
    'letters', 'Letters by size', 'Share, 0 to 1',
    (table_types.Row('a', table_types.Published('0.9', 'a paper'),
                     table_types.Reading('a.json', ('score',)), 'small a'),
     table_types.Row('b', table_types.Published('0.8', 'memory', True),
                     table_types.Reading('b.json', ('score',)), 'small b'),
     table_types.Row('c')),
    notes=('Letters only.',), curves=(('a', 'a.json'),))


def test_cell_of_ours_is_the_files_and_empty_without_it(tmp_path):
  path = tmp_path / 'runs/a.json'
  metrics_writer.write(path, {'score': 0.51239})
  text = table_files.write(
      _TABLE, tmp_path / 'runs', tmp_path / 'results').read_text()
  assert '| a | 0.9 [a paper] | 0.5124 | small a |' in text
  assert 'config 0123456789abcdef, seed 3, commit ffff' in text
  path.unlink()
  text = table_files.write(
      _TABLE, tmp_path / 'runs', tmp_path / 'results').read_text()
  assert '| a | 0.9 [a paper] |  | small a |' in text
  assert '0.51' not in text and 'config' not in text


def test_missing_and_unverified_figures_say_so(tmp_path):
  text = table_files.write(_TABLE, tmp_path, tmp_path).read_text()
  assert '| b | 0.8 (unverified) [memory] |' in text
  assert '| c | not available |' in text
  assert text.endswith('Letters only.\n')


def test_page_has_the_measured_tables_alone(tmp_path):
  assert '## ' not in table_files.page([_TABLE], tmp_path)[0]
  metrics_writer.write(tmp_path / 'a.json', {'score': 0.5})
  text, shown = table_files.page([_TABLE], tmp_path)
  assert text.count('## Letters by size') == 1 and not shown
  assert '`python scripts/reproduce_tables.py --table=letters`' in text


def test_page_shows_the_curves(tmp_path):
  curve = {'step': [1, 2], 'examples': [4, 8], 'masked_lm_loss': [3.0, 2.0]}
  metrics_writer.write(tmp_path / 'a.json', {'score': 0.5, 'curve': curve})
  text, shown = table_files.page([_TABLE], tmp_path)
  assert '![Letters by size](results-letters_loss.png)' in text
  assert shown['results-letters_loss.png'].startswith(b'\x89PNG')


def test_csv_has_the_same_rows(tmp_path):
  metrics_writer.write(tmp_path / 'a.json', {'score': 0.5})
  table_files.write(_TABLE, tmp_path, tmp_path / 'results')
  with open(tmp_path / 'results/letters.csv', newline='') as stream:
    rows = list(csv.DictReader(stream))
  assert [(row['row'], row['paper'], row['ours'], row['seed'])
          for row in rows] == [('a', '0.9', '0.5000', '3'),
                               ('b', '0.8', '', ''),
                               ('c', 'not available', '', '')]


def test_pictures_are_drawn_with_and_without_numbers(tmp_path):
  curve = {'step': [1, 2], 'examples': [4, 8], 'masked_lm_loss': [3.0, 2.0]}
  magic = b'\x89PNG'
  table_files.write(_TABLE, tmp_path, tmp_path)
  assert (tmp_path / 'letters.png').read_bytes().startswith(magic)
  assert not (tmp_path / 'letters_loss.png').exists()
  metrics_writer.write(tmp_path / 'a.json', {'score': 0.5, 'curve': curve})
  table_files.write(_TABLE, tmp_path, tmp_path)
  assert (tmp_path / 'letters_loss.png').read_bytes().startswith(magic)


def test_line_plot_is_drawn_once_a_point_was_measured(tmp_path):
  reading = table_types.Reading('a.json', ('score',))
  table = dataclasses.replace(_TABLE, plot=table_types.LinePlot(
      'size', (('a', ((1.0, reading),)), ('none', ()))))
  table_files.write(table, tmp_path, tmp_path)
  assert not (tmp_path / 'letters_plot.png').exists()
  metrics_writer.write(tmp_path / 'a.json', {'score': 0.5})
  table_files.write(table, tmp_path, tmp_path)
  assert (tmp_path / 'letters_plot.png').read_bytes().startswith(b'\x89PNG')


def test_figures_are_numbers_where_they_can_be_drawn():
  for text, number in (('-3.14', -3.14), ('6.25e-4', 6.25e-4), ('.99', 0.99),
                       ('diverges', None), ('.9939 .9935', None)):
    assert table_types.Published(text, 'x').number == number
