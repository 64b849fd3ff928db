"""What the shipped loop filters gain: by work, by codec, on video."""

import loopfilter_tables
import table_types

_EVALUATE = ('scripts/cnn_loopfilter/evaluate.py',
             '--config=configs/cnn_loopfilter/prepare.py')
_SHIPPED = ('filter_64', 'filter_64_half', 'filter_17k', 'filter_5k')
_QUANTITY = 'BD-rate in percent, below 0 saves bits'
_NOT_THE_PAPERS = 'The paper has no such table.'


def _job(file: str, *options: str) -> table_types.SmallJob:
  folder = file.rsplit('/', 1)[0]
  return table_types.SmallJob(file, (
      *_EVALUATE, *options, f'--output={{runs}}/{folder}',
      f'--cache={{runs}}/{folder}/codings'))


def _filters(names) -> str:
  return '--filter=' + ','.join(
      f'{name}=cnn_loopfilter/pretrained/{name}' for name in names)


def by_work() -> table_types.Table:
  """BD-rate of every shipped filter, and its multiplications."""
  file = 'loopfilter_gain/results.json'
  rows = [table_types.Row(
      f'{name}: kMAC for a luma pixel', ours=table_types.Reading(
          file, ('kmac_per_pixel', name), '.1f'), setting='counted')
          for name in _SHIPPED]
  rows += [table_types.Row(
      f'{name}: {component}', ours=loopfilter_tables.reading(
          file, component, name), setting=loopfilter_tables.PICTURES)
           for name in _SHIPPED for component in loopfilter_tables.COMPONENTS]
  return table_types.Table(
      'loopfilter_gain', 'Loop filter: gain by work', f'kMAC; {_QUANTITY}',
      tuple(rows), small_jobs=(_job(file, '--input={pictures}',
                                    _filters(_SHIPPED)),),
      notes=(f'{_NOT_THE_PAPERS} Against the codec with all of its filters. '
             'docs/loopfilter.md has the plot.',))


def by_codec() -> table_types.Table:
  """BD-rate on codecs that the filter was not trained on."""
  file = 'loopfilter_codecs/results.json'
  within = {'x265': (), 'x264': ('anchors', {'codec': 'x264 medium'}),
            'SVT-AV1': ('anchors', {'codec': 'SVT-AV1 preset 4'})}
  rows = tuple(table_types.Row(
      f'{codec}, {title}, {component}', ours=loopfilter_tables.reading(
          file, component, state, within=path),
      setting='every fourth of the given pictures')
               for codec, path in within.items()
               for state, title in (('none', 'no filter'), ('CNN', 'CNN'))
               for component in loopfilter_tables.COMPONENTS)
  return table_types.Table(
      'loopfilter_codecs', 'Loop filter: other codecs', _QUANTITY, rows,
      small_jobs=(_job(
          file, '--input={pictures}', '--every=4', '--anchors=x264,svtav1',
          '--filter=CNN=cnn_loopfilter/pretrained/filter_64'),),
      notes=(f'{_NOT_THE_PAPERS} Each codec against all of its own filters; '
             'the CNN was trained on x265 alone.',))


def on_video() -> table_types.Table:
  """BD-rate on the first frames of clips."""
  file = 'loopfilter_video/results.json'
  rows = tuple(table_types.Row(
      f'{title}, {component}', ours=loopfilter_tables.reading(
          file, component, state), setting='three frames of each clip')
               for state, title in (('none', 'no filter'), ('CNN', 'CNN'))
               for component in loopfilter_tables.COMPONENTS)
  return table_types.Table(
      'loopfilter_video', 'Loop filter: video clips, all intra', _QUANTITY,
      rows, small_jobs=(_job(
          file, '--input={clips}', '--frames=3',
          '--filter=CNN=cnn_loopfilter/pretrained/filter_64'),),
      notes=(f'{_NOT_THE_PAPERS} x265 with all of its filters is the anchor; '
             'no switches (docs/loopfilter-video.md has those).',))
