"""The CNN loop filter of arXiv:1805.06121: BD-rates and compression."""

import table_types

_FILTERS = 'scripts/cnn_loopfilter'
_PAPER_CONFIG = '--config=configs/cnn_loopfilter/paper.py'
COMPONENTS = ('Y', 'U', 'V')
_SAVED = ('-3.14', '-5.21', '-6.28')
_JEM = 'arXiv:1805.06121, JEM 7.0, all intra, JVET sequences'
_SHIPPED = 'cnn_loopfilter/pretrained/filter_64'
_OTHERS = ('Ours is the shipped integer filter: another codec and other '
           'pictures than the paper\'s.')
_UNVERIFIED = ('The QPs 22, 27, 32, 37 and patches of 35x35 of the paper\'s '
               'training, which paper.py has: (unverified).')
PICTURES = 'x265 by PyAV, all intra, QP 22 27 32 37, the given pictures'


def _paper_jobs() -> tuple[table_types.PaperJob, ...]:
  train = (f'{_FILTERS}/train.py', _PAPER_CONFIG, '--mode=train_and_eval',
           '--data_dir=PATCHES', '--eval_dir=HELD_OUT',
           '--model_dir=MODELS/cnn')
  compress = (f'{_FILTERS}/compress.py',
              '--config=configs/cnn_loopfilter/compress_64.py',
              '--filter=MODELS/cnn', '--data_dir=PATCHES',
              '--eval_dir=HELD_OUT', '--output_dir=MODELS/compressed',
              '--input=SEQUENCES')
  evaluate = (f'{_FILTERS}/evaluate.py', _PAPER_CONFIG, '--input=SEQUENCES',
              '--filter=CNN=EXPORTED', '--output=RESULTS')
  return (table_types.PaperJob(
      'train, compress and measure', (train, compress, evaluate),
      'patches from JEM 7.0 by `codec.name=external` and the JVET sequences '
      '(docs/loopfilter.md tells how they are prepared and exported)'),)


def reading(file: str, component: str, state: str, against: str = 'all',
            within: tuple[table_types.Step, ...] = ()
            ) -> table_types.Reading:
  """Returns where evaluate.py leaves an average BD-rate.

  Args:
    file: metrics file.
    component: one of `COMPONENTS`.
    state: name of a filter, or of what the codec's own do.
    against: what it is compared with.
    within: way to the codec's part of the file; () for the main codec.
  """
  average = {'name': 'average', 'state': state, 'against': against,
             'measure': 'psnr'}
  return table_types.Reading(
      file, (*within, 'bd_rates', average, 'percent',
             COMPONENTS.index(component)), '+.2f')


def bd_rate() -> table_types.Table:
  """BD-rate against the codec with all of its filters."""
  file = 'loopfilter_bd_rate/results.json'

  def row(name, component, state, against, paper):
    return table_types.Row(
        f'{name}, {component}', paper,
        reading(file, component, state, against), PICTURES)
  rows = [row('CNN against all of the codec\'s filters', component, 'CNN',
              'all', table_types.Published(text, _JEM))
          for component, text in zip(COMPONENTS, _SAVED)]
  rows += [row('CNN against no filter', component, 'CNN', 'none',
               table_types.Published()) for component in COMPONENTS]
  rows += [row('the codec\'s filters against no filter', component, 'all',
               'none', table_types.Published()) for component in COMPONENTS]
  return table_types.Table(
      'loopfilter_bd_rate', 'Loop filter: BD-rate of one CNN for all QPs',
      'BD-rate in percent, below 0 saves bits', tuple(rows), _paper_jobs(),
      (table_types.SmallJob(
          file, (f'{_FILTERS}/evaluate.py',
                 '--config=configs/cnn_loopfilter/prepare.py',
                 '--input={pictures}', f'--filter=CNN={_SHIPPED}',
                 '--output={runs}/loopfilter_bd_rate',
                 '--cache={runs}/loopfilter_bd_rate/codings')),),
      notes=(_OTHERS, _UNVERIFIED))


def compression() -> table_types.Table:
  """What is left of gain and work after compression."""
  folder = 'loopfilter_compression'
  file = f'{folder}/report.json'
  rows = []
  for name, title in (('before', 'before'), ('pruned', 'filters removed'),
                      ('compressed', 'fine-tuned')):
    rows.append(table_types.Row(
        f'{title}: multiplications a sample', ours=table_types.Reading(
            file, (name, 'macs_per_sample'), '.0f'),
        setting='compress_64.py on the shipped filter'))
    rows += [table_types.Row(
        f'{title}: BD-rate {component}', ours=table_types.Reading(
            file, (name, 'bd_rate_percent', index), '+.2f'),
        setting=PICTURES) for index, component in enumerate(COMPONENTS)]
  prepare = f'{_FILTERS}/prepare_frames.py'
  config = '--config=configs/cnn_loopfilter/filter_64.py'
  jobs = [table_types.SmallJob(
      f'{folder}/{part}/index.json',
      (prepare, config, f'--input={{{source}}}',
       f'--output={{runs}}/{folder}/{part}'))
          for part, source in (('patches', 'training_pictures'),
                               ('held_out', 'pictures'))]
  jobs.append(table_types.SmallJob(
      file, (f'{_FILTERS}/compress.py',
             '--config=configs/cnn_loopfilter/compress_64.py',
             '--filter=cnn_loopfilter/pretrained/filter_64.npz',
             f'--data_dir={{runs}}/{folder}/patches',
             f'--eval_dir={{runs}}/{folder}/held_out',
             f'--output_dir={{runs}}/{folder}', '--input={pictures}',
             f'--cache={{runs}}/{folder}/codings'),
      '10 minutes of fine-tuning on two quick cores (compress_64.py), and the '
      'coding of the pictures'))
  return table_types.Table(
      'loopfilter_compression', 'Loop filter: half of the multiplications',
      'Multiplications a sample; BD-rate in percent against all of the '
      'codec\'s filters', tuple(rows), _paper_jobs(), tuple(jobs),
      notes=('The paper\'s compressed widths and their cost were not '
             'available.',))
