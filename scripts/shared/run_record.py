"""Who made a number: what every metrics file says of its run.

Tables of results are made from metrics files alone; `describe` is what makes
a number in them traceable.
"""

from collections.abc import Mapping
import datetime
import hashlib
import json
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

_ROOT = pathlib.Path(__file__).parents[2]
_HASH_DIGITS = 16


def describe(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
  """Describes the run of this process.

  Args:
    config: everything that decides the result, but the seed and the code.
    seed: of whatever is random.

  Returns:
    `config_hash` (of the config), `seed`, `commit` (of the code; ends in
    `-modified` where files differ from it), `date`, `command`, `machine`.
  """
  return {
      'config_hash': config_hash(config), 'seed': seed, 'commit': _commit(),
      'date': datetime.date.today().isoformat(),
      'command': ' '.join(['python', _script(), *sys.argv[1:]]),
      'machine': f'{_processor()}, {os.cpu_count()} cores'}


def config_hash(config: Mapping[str, Any]) -> str:
  """Returns 16 hexadecimal digits that any change of the config changes."""
  text = json.dumps(config, sort_keys=True, default=str)
  return hashlib.sha256(text.encode('utf-8')).hexdigest()[:_HASH_DIGITS]


def _script():
  path = pathlib.Path(sys.argv[0]).absolute()
  return str(path.relative_to(_ROOT)) if path.is_relative_to(
      _ROOT) else path.name


def _commit():
  """Asks git; a copy of the code that is no checkout has no commit."""
  try:
    commit = _git('rev-parse', 'HEAD')
    return commit + ('-modified' if _git('status', '--porcelain', '-uno')
                     else '')
  except (OSError, subprocess.CalledProcessError):
    return 'unknown'


def _git(*arguments):
  return subprocess.run(
      ['git', '-C', str(_ROOT), *arguments], check=True, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip()


def _processor():
  """Returns the processor's name; Linux tells it in a file."""
  try:
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
      if line.startswith('model name'):
        return line.partition(':')[2].strip()
  except OSError:
    pass
  return platform.processor() or platform.machine()
