"""Writes and tabulates the results of full-batch training."""

import json
import pathlib
from typing import Any

from lamb import atomic_file

_FILE = 'result.json'


def write(folder: pathlib.Path, name: str, settings: dict[str, Any],
          history: dict[str, Any], run: dict[str, Any]) -> None:
  """Writes the result of one optimizer.

  Args:
    folder: Where to write it.
    name: Name of the optimizer.
    settings: Its settings, among them `published`, the authors' accuracy or 0.
    history: What `training.train` returned.
    run: Facts about the run.
  """
  result = {'optimizer': name, **settings,
            'accuracy': history['accuracy'][-1][1],
            'steps': history['accuracy'][-1][0],
            'minutes': sum(history['seconds']) / 60, 'run': run}
  atomic_file.write_json(folder / _FILE, result)


def table(output: pathlib.Path) -> str:
  """Returns the results below a folder as a Markdown table, best first.

  Args:
    output: Folder with one folder for each optimizer.
  """
  results = [json.loads(path.read_text(encoding='utf-8'))
             for path in sorted(output.glob(f'*/{_FILE}'))]
  lines = ['| optimizer | learning rate | warmup | power | steps | '
           'test accuracy | authors | minutes |',
           '|---|---|---|---|---|---|---|---|']
  for result in sorted(results, key=lambda each: -each['accuracy']):
    published = f'{result["published"]:.4f}' if result['published'] else ''
    lines.append(
        f'| {result["optimizer"]} | {result["learning_rate"]:g} | '
        f'{result["warmup_steps"]} | {result["power"]:g} | {result["steps"]} | '
        f'{result["accuracy"]:.4f} | {published} | {result["minutes"]:.1f} |')
  return '\n'.join(lines)
