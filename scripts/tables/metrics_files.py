"""Reads numbers out of the metrics files that runs have written."""

from collections.abc import Mapping
import dataclasses
import json
import math
import pathlib
import re
from typing import Any

import table_types

RUN_KEYS = ('config_hash', 'seed', 'commit')


@dataclasses.dataclass(frozen=True)
class Measured:
  """A number of ours, and the run that measured it.

  Attributes:
    value: the number as it stands in the file, scaled.
    text: as it is printed.
    file: the metrics file.
    run: what the file says of its run, see `run_record`.
  """
  value: float
  text: str
  file: pathlib.Path
  run: Mapping[str, Any]


def find(runs: pathlib.Path, name: str) -> pathlib.Path | None:
  """Returns a metrics file, or None where there is none.

  Args:
    runs: folder of runs.
    name: below it; of several that `*` matches, the highest number's.
  """
  found = [path for path in runs.glob(name) if path.is_file()]
  return max(found, key=_number, default=None)


def _number(path):
  digits = re.findall(r'\d+', path.name)
  return int(digits[-1]) if digits else 0


def read(runs: pathlib.Path, reading: table_types.Reading | None
         ) -> Measured | None:
  """Reads one number.

  Args:
    runs: folder of runs.
    reading: where it stands, or None.

  Returns:
    None where the file, the number in it, or the record of the run that wrote
    it is missing: a number that nobody can trace is no measurement.
  """
  content = read_content(runs, reading.file) if reading else {}
  value = _walk(content, reading.path) if content else None
  if value is None:
    return None
  path, run = find(runs, reading.file), content['run']
  if isinstance(value, str):
    return Measured(math.nan, value, path, run)
  value *= reading.scale
  return Measured(value, format(value, reading.form), path, run)


def read_content(runs: pathlib.Path, name: str) -> Mapping[str, Any]:
  """Returns what a metrics file holds, {} if it is missing or not traceable.

  Args:
    runs: folder of runs.
    name: as for `find`.
  """
  path = find(runs, name)
  try:
    content = json.loads(path.read_text(encoding='utf-8')) if path else {}
  except ValueError:
    return {}
  run = content.get('run') if isinstance(content, dict) else None
  if not isinstance(run, dict) or any(key not in run for key in RUN_KEYS):
    return {}
  return content


def _walk(content, steps):
  """Follows a path; None where it leads nowhere."""
  for step in steps:
    if isinstance(step, Mapping):
      content = next(
          (entry for entry in content if isinstance(entry, dict) and all(
              entry.get(key) == value for key, value in step.items())), None)
    else:
      try:
        content = content[step]
      except (KeyError, IndexError, TypeError):
        return None
    if content is None:
      return None
  return content
