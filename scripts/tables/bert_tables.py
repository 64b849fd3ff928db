"""BERT in arXiv:1904.00962: F1 by batch, AdamW's grid, LARS, the 64K job.

Figures are those of v5 (ICLR 2020); v1's stand in a table of their own.
"""

import table_types

from lamb import schedules

_PRETRAIN = 'scripts/lamb/pretrain_bert.py'
_SQUAD = 'scripts/lamb/finetune_squad.py'
_NETWORK = '--bert_config_file=configs/lamb/bert_large.json'
_PREDICTIONS = 'F1 on the development set of SQuAD v1.1, percent'
_LATER = (
    'Later evidence against the comparison: Nado et al. 2021 report that a '
    'tuned Adam matches LAMB (BERT-Large at batch 32K: F1 91.58).')
_SEE_SMALL = (
    'Nothing here trains BERT-Large; `bert_batch_scaling` asks the same '
    'question of BERT-Tiny.')
_WARMUP_IS_OURS = (
    'Nine tenths of the steps at sequence 128, one tenth at 512. The warmup of '
    'the second stage in the commands is ours: the paper tells it for the '
    'mixed batch alone.')

# batch: (F1 in v1, F1 in v5, TPUs, time)
_LAMB = {
    512: ('90.720', '91.752', 16, '82.8 h'),
    1024: ('90.377', '91.761', 32, '43.2 h'),
    2048: ('90.751', '91.946', 64, '21.4 h'),
    4096: ('90.548', '91.137', 128, '693.6 min'),
    8192: ('90.556', '91.263', 256, '390.5 min'),
    16384: ('90.679', '91.345', 512, '200.0 min'),
    32768: ('91.460', '91.475', 1024, '101.2 min'),
}
_LARS = {512: '90.717', 1024: '90.369', 2048: '90.748', 4096: '90.537',
         8192: '90.548', 16384: '89.589', 32768: 'diverges'}
# share of warmup: F1 at learning rates 1e-4, 2e-4, 3e-4
_ADAMW = {0.05: ('diverges',) * 3, 0.10: ('86.034', '88.540', 'diverges'),
          0.20: ('85.231', '88.110', '85.653')}
_ADAMW_RATES = ('1e-4', '2e-4', '3e-4')
_ADAMW_BATCH, _ADAMW_STEPS = 16384, 31250
_BASELINE_STEPS = 1_000_000
_MIXED_TPUS = 1024
_FOR_LAMB = 'the paper\'s for LAMB at this batch'
# Read off the figure: mean loss of the first stage.
_LOSS_64K = {200: '7.6', 600: '6.3', 1000: '3.8', 1400: '2.65', 2000: '2.2',
             3000: '1.7', 5000: '1.6', 7037: '1.33871'}


def _stages(batch: int, steps: int) -> tuple[int, int, str]:
  """Returns the steps of both stages, and them as a flag."""
  second = round(steps / 10)
  first = steps - second
  return first, second, (
      f'--stages=128x{batch}x{first},512x{batch}x{second}')


def _squad(folder: str) -> tuple[str, ...]:
  """Returns the command that fine-tunes; learning rate and batch are BERT's."""
  return (_SQUAD, _NETWORK, '--vocab_file=VOCAB',
          f'--init_checkpoint={folder}', f'--output_dir={folder}/squad',
          '--train_file=train-v1.1.json', '--predict_file=dev-v1.1.json',
          '--do_train', '--do_predict', '--train_batch_size=32',
          '--learning_rate=3e-5', '--num_train_epochs=2.0')


def _pretrain(optimizer: str, folder: str, tpus: int, *options: str
              ) -> tuple[str, ...]:
  """Returns the command that pre-trains on so many TPUs of two cores."""
  return (_PRETRAIN, _NETWORK, '--input_file=RECORDS', f'--output_dir={folder}',
          '--do_train', f'--optimizer={optimizer}', '--use_tpu',
          '--tpu_name=TPU', f'--num_tpu_cores={2 * tpus}', *options)


def _job(optimizer: str, batch: int, of: str, time: str
         ) -> table_types.PaperJob:
  """Returns the job of one batch, by the untuned recipe."""
  tpus = _LAMB[batch][2]
  recipe = schedules.bert_recipe(batch)
  _, second, stages = _stages(batch, recipe.total_steps)
  warmup = recipe.warmup_steps
  folder = f'MODELS/{optimizer}_{batch}'
  return table_types.PaperJob(
      f'{optimizer.upper()}, batch {batch}',
      (_pretrain(optimizer, folder, tpus, '--recipe=untuned', stages,
                 f'--num_warmup_steps={warmup},{min(warmup, second // 5)}'),
       _squad(folder)), _resources(tpus, of), time)


def _resources(tpus: int, of: str) -> str:
  return (f'{tpus} TPUs ({of}), taken for v3 chips of two cores each; records '
          'of create_pretraining_data.py with sequences of 128 and 512')


def _paper(text: str, where: str) -> table_types.Published:
  return table_types.Published(text, f'arXiv:1904.00962{where}')


def f1_by_batch() -> table_types.Table:
  """F1 by batch, LAMB's main table."""
  names = {batch: f'LAMB, batch {batch}' for batch in _LAMB}
  rows = [table_types.Row('baseline (AdamW), batch 512',
                          _paper('90.395', 'v5'))]
  rows += [table_types.Row(names[batch], _paper(v5, 'v5'))
           for batch, (_, v5, _, _) in _LAMB.items()]
  rows.append(table_types.Row('LAMB, batch 65536/32768',
                              _paper('90.584', 'v5')))
  rows += [table_types.Row(f'{names[batch]}, version 1', _paper(v1, 'v1'))
           for batch, (v1, _, _, _) in _LAMB.items()]
  jobs = [_job('lamb', batch, 'the paper\'s', f'{time} (the paper\'s)')
          for batch, (_, _, _, time) in _LAMB.items()]
  return table_types.Table(
      'bert_f1', 'BERT-Large pre-trained by LAMB, untuned, by batch',
      _PREDICTIONS, tuple(rows), (_baseline(), *jobs, _mixed()),
      notes=(_SEE_SMALL, _WARMUP_IS_OURS,
             'The baseline\'s learning rate and warmup in the commands are '
             'BERT\'s own; the paper\'s were not available.', _LATER))


def _baseline() -> table_types.PaperJob:
  """Returns BERT's own training, at twice its batch."""
  batch, folder = 512, 'MODELS/adamw_512'
  _, _, stages = _stages(batch, _BASELINE_STEPS)
  tpus = _LAMB[batch][2]
  return table_types.PaperJob(
      'baseline (AdamW), batch 512',
      (_pretrain('adamw', folder, tpus, stages, '--learning_rate=1e-4',
                 '--num_warmup_steps=10000'), _squad(folder)),
      _resources(tpus, 'the paper\'s'), '81.4 h (the paper\'s)')


def _mixed() -> table_types.PaperJob:
  both = schedules.mixed_batch_recipe()
  stages = ','.join(
      f'{each.sequence_length}x{each.batch_size}x{each.total_steps}'
      for each in both)
  warmups = ','.join(str(each.warmup_steps) for each in both)
  return table_types.PaperJob(
      'LAMB, batch 65536/32768, 8599 steps',
      (_pretrain('lamb', 'MODELS/lamb_mixed', _MIXED_TPUS, '--recipe=untuned',
                 f'--stages={stages}', f'--num_warmup_steps={warmups}'),
       _squad('MODELS/lamb_mixed')),
      _resources(_MIXED_TPUS, 'the paper\'s'), '76.19 min (the paper\'s)')


def adamw_grid() -> table_types.Table:
  """AdamW at batch 16K, for three warmups and three learning rates."""
  rows, jobs, tpus = [], [], _LAMB[_ADAMW_BATCH][2]
  first, second, stages = _stages(_ADAMW_BATCH, _ADAMW_STEPS)
  for warmup, figures in _ADAMW.items():
    for rate, text in zip(_ADAMW_RATES, figures):
      name = f'warmup {warmup:.0%}, learning rate {rate}'
      folder = f'MODELS/adamw_{warmup:.0%}_{rate}'.replace('%', '')
      rows.append(table_types.Row(name, _paper(text, 'v5')))
      jobs.append(table_types.PaperJob(
          name,
          (_pretrain('adamw', folder, tpus, stages, f'--learning_rate={rate}',
                     f'--num_warmup_steps={round(warmup * first)},'
                     f'{round(warmup * second)}'), _squad(folder)),
          _resources(tpus, _FOR_LAMB)))
  return table_types.Table(
      'bert_adamw_grid', 'BERT-Large by AdamW at batch 16384, 31250 steps',
      _PREDICTIONS, tuple(rows), tuple(jobs),
      notes=('The paper\'s target is 90.5.', _SEE_SMALL, _WARMUP_IS_OURS,
             _LATER))


def lars_against_lamb() -> table_types.Table:
  """LARS beside LAMB, batch 512 to 32768; F1 of version 1 for both."""
  rows = []
  for batch, text in _LARS.items():
    rows += [table_types.Row(f'LARS, batch {batch}', _paper(text, 'v5')),
             table_types.Row(f'LAMB, batch {batch}',
                             _paper(_LAMB[batch][1], 'v5'))]
  jobs = [_job('lars', batch, _FOR_LAMB, 'not known') for batch in _LARS]
  return table_types.Table(
      'bert_lars', 'BERT-Large by LARS and by LAMB', _PREDICTIONS,
      tuple(rows), tuple(jobs),
      notes=('The commands of LAMB are those of `bert_f1`. LARS\' learning '
             'rates were not available; the commands have LAMB\'s.',
             _SEE_SMALL, _WARMUP_IS_OURS))


def loss_64k() -> table_types.Table:
  """The first stage's loss of the 64K job, by step."""
  rows = [table_types.Row(
      f'step {step}', _paper(text, 'v5, read off the figure'))
          for step, text in _LOSS_64K.items()]
  return table_types.Table(
      'bert_64k_loss', 'Loss of the mixed-batch job\'s first stage',
      'Masked-LM and next-sentence loss, nats', tuple(rows), (_mixed(),),
      notes=(_SEE_SMALL,))
