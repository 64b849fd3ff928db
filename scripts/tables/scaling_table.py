"""BERT-Tiny by batch: the scaling study that can run here."""

import table_types

from lamb.bert import scaling_study

_FOLDER = 'bert_batch_scaling'
_STUDY = scaling_study.Study()
_TITLES = {'masked_lm_accuracy': 'masked-LM accuracy',
           'masked_lm_loss': 'masked-LM loss',
           'next_sentence_accuracy': 'next-sentence accuracy',
           'next_sentence_loss': 'next-sentence loss'}


def _runs() -> dict[str, str]:
  """Returns the titles of the full runs, by name."""
  batches = _STUDY.batches
  found = {scaling_study.run_name(name, batch): f'{name}, batch {batch}'
           for name in scaling_study.COMPARED for batch in batches}
  found[scaling_study.run_name('lars', batches[-1])] = (
      f'lars, batch {batches[-1]}')
  found[scaling_study.MIXED] = (
      f'lamb, batch {batches[-1]}/{batches[-1] // 2} at sequence 128/512')
  return found


def batch_scaling() -> table_types.Table:
  """LAMB, AdamW and LARS on BERT-Tiny, the same examples at every batch."""
  rows = [table_types.Row(
      f'{title}: {_TITLES[metric]}', ours=table_types.Reading(
          f'{_FOLDER}/{name}/metrics.json', (metric,)),
      setting='BERT-Tiny without dropout, evaluation text')
          for metric in scaling_study.METRICS
          for name, title in _runs().items()]
  summary = f'{_FOLDER}/summary.json'
  rows += [table_types.Row(
      f'{name}: learning rate at batch 64', ours=table_types.Reading(
          summary, ('rates', name), '.3g'),
      setting='best of ' + ', '.join(f'{rate:g}' for rate in rates))
           for name, rates in _STUDY.rates.items()]
  rows += [table_types.Row(
      f'{name}: points of masked-LM accuracy lost from batch 64 to 1024',
      ours=table_types.Reading(summary, ('lost_points', name), '.2f'),
      setting='positive: the larger batch is worse')
           for name in scaling_study.COMPARED]
  rows += [table_types.Row('what came out', ours=table_types.Reading(
      summary, ('verdict',)), setting='LAMB and AdamW need 0.20 at batch 64')]
  rows += [table_types.Row(f'compute spent, {unit}', ours=table_types.Reading(
      summary, (key,), form, scale), setting='grids included')
           for unit, key, form, scale in (
               ('PFLOP', 'flop', '.3g', 1e-15), ('hours', 'hours', '.1f', 1.))]
  job = table_types.SmallJob(
      summary, ('scripts/lamb/bert_batch_scaling.py', '--text={text}',
                '--eval_text={eval_text}', '--vocab_file={vocab_file}',
                f'--output_dir={{runs}}/{_FOLDER}'),
      'some 6 hours of processor time, not measured; 3.9 PFLOP, 0.82 GFLOP '
      'for an example (counted)')
  return table_types.Table(
      'bert_batch_scaling',
      'BERT-Tiny by batch, nothing tuned for a batch',
      'Accuracy, loss in nats, or as the row says', tuple(rows),
      small_jobs=(job,),
      curves=tuple((title, f'{_FOLDER}/{name}/metrics.json')
                   for name, title in _runs().items()),
      notes=(
          'The paper has no such table; its own by batch is `bert_f1`.',
          'LAMB and AdamW with corrected moments (docs/bert.md says why).',
          'Each optimizer\'s learning rate at batch 64 is the best of five by '
          'the training loss of short runs; it grows by the square root of the '
          'batch. The warmup has the same number of steps everywhere.',
          'Nado et al. 2021 report that a tuned Adam matches LAMB.'))
