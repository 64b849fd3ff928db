"""Every command of the paper's scale builds its job without data.

Commands that differ in numbers or in what is handed to a config file alone
(batch, steps, learning rate, its optimizer) are of one kind, of which the first
is run. BERT-Large is built once, BERT-Tiny in its place for the other kinds.
"""

import re

import catalogue
import pytest

from tests import script_server

pytestmark = pytest.mark.slow

_LARGE = '--bert_config_file=configs/lamb/bert_large.json'
_TINY = '--bert_config_file=configs/lamb/bert_tiny.json'


def _commands():
  """Returns one command of each kind, by its words without numbers."""
  found = {}
  for table in catalogue.tables().values():
    for job in table.paper_jobs:
      for command in job.commands:
        # Folders of output have no say.
        kind = re.sub(r'MODELS/\S+|\.py:\w+|(_\d+k)?\.py|\d+(\.\d+)?(e-\d+)?',
                      '#', ' '.join(command))
        found.setdefault(kind, (*command, *job.dry_run))
  commands = list(found.values())
  large = next(command for command in commands if _LARGE in command)
  return [large, *(tuple(_TINY if option == _LARGE else option
                         for option in command) for command in commands)]


@pytest.mark.parametrize('command', _commands(), ids=' '.join)
def test_command_builds_its_job_without_data(command):
  script = script_server.ROOT / command[0]
  if not script.exists():
    pytest.skip(f'there is no {command[0]} yet')
  text = script.read_text(encoding='utf-8')
  for option in command:
    name = option.removeprefix('--').partition('=')[0]
    if option.startswith('--') and name in ('dry_run', 'tpu_cores') and (
        f"'{name}'" not in text):
      pytest.skip(f'{command[0]} has no --{name} yet')
  done = script_server.run(*command)
  assert done.returncode == 0, done.stderr
