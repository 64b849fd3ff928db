"""Prints, runs and writes the tables of the three papers.

  python scripts/reproduce_tables.py --list
  python scripts/reproduce_tables.py --table=bert_f1 --scale=paper
  python scripts/reproduce_tables.py --table=unet_resolution --scale=small
  python scripts/reproduce_tables.py --page=docs/results.md

--scale=paper prints the real jobs: commands, resources, time. --scale=small
runs what can run here, job by job, and writes RESULTS/TABLE.md, .csv and .png;
started again it goes on where it was stopped. Numbers of ours are read from
the metrics files of the runs: a cell without one stays empty. Several tables
are divided by commas; `all` is every one whose inputs are given.
"""

import os
import pathlib
import sys

_SCRIPTS = pathlib.Path(__file__).absolute().parent
# This folder would hide the packages of the same names as its own.
sys.path = [path for path in sys.path
            if pathlib.Path(path).absolute() != _SCRIPTS]
sys.path += [str(_SCRIPTS / 'shared'), str(_SCRIPTS / 'tables')]

from absl import flags
import catalogue
import command_line
import paper_scale
import small_runs
import table_files
import table_types

from mtf_unet import atomic_file
from mtf_unet import errors

_LIST = flags.DEFINE_boolean('list', False, 'Name all tables.')
_TABLE = flags.DEFINE_list('table', [], 'Tables to reproduce.')
_SCALE = flags.DEFINE_enum(
    'scale', 'small', ['paper', 'small'], 'What to do; see above.')
_PAGE = flags.DEFINE_string(
    'page', '', 'Markdown file to write, of all tables in which something was '
    'measured; plots come beside it.')
_RUN = flags.DEFINE_boolean(
    'run', True, 'With --scale=small: run what is missing; --norun only '
    'writes the tables.')
_RUNS_DIR = flags.DEFINE_string(
    'runs_dir', 'runs/tables', 'Folder of the small runs.')
_RESULTS_DIR = flags.DEFINE_string(
    'results_dir', 'results', 'Folder of the tables.')
_INPUTS = {name: flags.DEFINE_string(name, None, text)
           for name, text in catalogue.INPUTS.items()}


def _chosen() -> list[table_types.Table]:
  known = catalogue.tables()
  if _TABLE.value == ['all']:
    return list(known.values())
  for name in _TABLE.value:
    if name not in known:
      raise errors.InputError(
          f'--table: got {name!r}, expected some of {", ".join(known)}, or all')
  if not _TABLE.value:
    raise errors.InputError('--table: got none, expected names of --list')
  return [known[name] for name in _TABLE.value]


def _small(table: table_types.Table) -> None:
  """Runs and writes one table; what was measured is written in any case."""
  runs = pathlib.Path(_RUNS_DIR.value).absolute()
  inputs = {name: flag.value and os.path.abspath(flag.value)
            for name, flag in _INPUTS.items()}
  try:
    if _RUN.value:
      small_runs.run(table, runs, inputs)
  except errors.InputError as error:
    if _TABLE.value != ['all']:
      raise
    print(f'{table.name}: {error}')
  finally:
    path = table_files.write(table, runs, pathlib.Path(_RESULTS_DIR.value))
    print(f'Written to {path}', flush=True)


def _write_page(path: pathlib.Path) -> None:
  """Writes the page, and beside it the pictures that it shows."""
  text, shown = table_files.page(catalogue.tables().values(),
                                 pathlib.Path(_RUNS_DIR.value))
  files = {path.with_name(name): content for name, content in shown.items()}
  for each, content in {**files, path: text.encode('utf-8')}.items():
    with atomic_file.replacing(each) as stream:
      stream.write(content)
    print(f'Written to {each}')


def main() -> None:
  """Lists, prints, runs or writes the page."""
  if _LIST.value:
    print(paper_scale.listing(catalogue.tables().values()))
    return
  if _PAGE.value:
    _write_page(pathlib.Path(_PAGE.value))
    return
  for table in _chosen():
    if _SCALE.value == 'paper':
      print(paper_scale.jobs(table))
    else:
      _small(table)


if __name__ == '__main__':
  command_line.run(main)
