"""Prints the untuned recipes for BERT and ImageNet, and writes them as JSON.

    python scripts/lamb/print_recipes.py --output=recipes.json
"""

import dataclasses
import pathlib
import sys

# What all scripts share; a folder of its own, as scripts/ itself would hide
# the packages of the same names.
sys.path.append(str(pathlib.Path(__file__).parents[1] / 'shared'))

from absl import flags
import command_line
import run_record

from lamb import atomic_file
from lamb import schedules

_OUTPUT = flags.DEFINE_string('output', '', 'File to write.')
_BATCHES = tuple(512 << k for k in range(7))


def main() -> None:
  """Prints a line for each recipe."""
  recipes = {
      name: {str(batch): rule(batch) for batch in _BATCHES}
      for name, rule in (('BERT', schedules.bert_recipe),
                         ('ImageNet', schedules.imagenet_recipe))}
  for name, by_batch in recipes.items():
    for batch, recipe in by_batch.items():
      print(f'{name}, batch {batch}: learning rate {recipe.learning_rate:.4g}, '
            f'{recipe.warmup_steps} of {recipe.total_steps} steps of warmup '
            f'({recipe.warmup_ratio:.4g})')
  if _OUTPUT.value:
    atomic_file.write_json(_OUTPUT.value, {
        name: {batch: dataclasses.asdict(recipe)
               | {'warmup_ratio': recipe.warmup_ratio}
               for batch, recipe in by_batch.items()}
        for name, by_batch in recipes.items()}
        | {'run': run_record.describe({'batches': _BATCHES}, seed=0)})


if __name__ == '__main__':
  command_line.run(main)
