"""The untuned recipes of arXiv:1904.00962: learning rate and warmup."""

import table_types

_BATCHES = ('512', '1024', '2048', '4096', '8192', '16384', '32768')
_BERT = {
    'learning_rate': ('6.25e-4', '8.84e-4', '1.25e-3', '1.768e-3', '2.5e-3',
                      '3.536e-3', '5e-3'),
    'warmup_ratio': ('1/320', '1/160', '1/80', '1/40', '1/20', '1/10', '1/5'),
    'total_steps': ('1000000', '500000', '250000', '125000', '62500', '31250',
                    '15625'),
}
_NAMES = {'learning_rate': 'learning rate', 'warmup_ratio': 'warmup ratio',
          'total_steps': 'steps', 'warmup_steps': 'warmup steps'}
_FORMS = {'learning_rate': '.4g', 'warmup_ratio': '.6g', 'total_steps': '.0f',
          'warmup_steps': '.0f'}
_FILE = 'recipes/recipes.json'
_PAPER = 'arXiv:1904.00962v5'


def _row(job: str, batch: str, key: str, text: str) -> table_types.Row:
  paper = table_types.Published(text, _PAPER) if text else (
      table_types.Published())
  return table_types.Row(
      f'{job}, batch {batch}: {_NAMES[key]}', paper,
      table_types.Reading(_FILE, (job, batch, key), _FORMS[key]),
      'lamb.schedules, the paper\'s own scale')


def recipes() -> table_types.Table:
  """Learning rate, warmup and steps by batch, for BERT and ImageNet."""
  rows = [_row('BERT', batch, key, text) for key, texts in _BERT.items()
          for batch, text in zip(_BATCHES, texts)]
  for batch in _BATCHES:
    known = batch == '32768'
    rows += [_row('ImageNet', batch, 'learning_rate',
                  '0.04' if known else ''),
             _row('ImageNet', batch, 'warmup_steps', '782')]
  return table_types.Table(
      'recipes', 'The untuned recipes, computed by lamb.schedules',
      'Learning rate by the square root of the batch, constant warmup steps',
      tuple(rows), small_jobs=(table_types.SmallJob(
          _FILE, ('scripts/lamb/print_recipes.py',
                  f'--output={{runs}}/{_FILE}'), 'a second'),),
      notes=('The paper gives the rule 4/(2^k 100) for ImageNet; of its '
             'values, that for batch 32768 is known to us.',))
