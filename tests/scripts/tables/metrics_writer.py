"""Metrics files as runs leave them."""

import json

RUN = {'config_hash': '0123456789abcdef', 'seed': 3, 'commit': 'f' * 40,
       'date': '2026-01-02', 'machine': 'a processor', 'command': 'python x'}


def write(path, content, run=RUN):
  """Writes a metrics file, by default with the record of a run."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content | ({'run': run} if run else {})))
