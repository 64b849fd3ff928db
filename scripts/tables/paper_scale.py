"""Prints tables' names, and the real jobs behind them."""

from collections.abc import Iterable

import table_types


def listing(tables: Iterable[table_types.Table]) -> str:
  """Returns a line for each table: what it holds and what it needs."""
  lines = []
  for table in tables:
    small = 'small: nothing runs here'
    if table.small_jobs:
      small = 'small: ' + (
          ', '.join(f'--{name}' for name in table.inputs) or 'no input needed')
    measured = sum(row.ours is not None for row in table.rows)
    lines.append(
        f'{table.name:24} {table.title}\n{"":24} {len(table.rows)} rows, '
        f'{measured} of them measurable here; {len(table.paper_jobs)} jobs at '
        f'the paper\'s scale; {small}')
  return '\n'.join(lines)


def jobs(table: table_types.Table) -> str:
  """Returns the commands, resources and time of each real job."""
  lines = [f'== {table.name}: {table.title}']
  if not table.paper_jobs:
    lines.append('No job at the paper\'s scale: --scale=small makes all of '
                 'it.')
  for job in table.paper_jobs:
    lines += ['', job.name]
    lines += [f'  $ python {" ".join(command)}' for command in job.commands]
    lines += [f'  resources: {job.resources}', f'  time: {job.time}',
              f'  without data: {" ".join(job.dry_run)}']
  return '\n'.join(lines) + '\n'
