"""VVC by its reference software VTM as the codec, all intra.

  python scripts/cnn_loopfilter/evaluate.py \
      --config=configs/cnn_loopfilter/vtm.py:FOLDER_OF_VTM \
      --input=PICTURES --filter=dfp=EXPORTED --output=RESULTS

FOLDER_OF_VTM holds `cfg/` and, after its `make`, `bin/EncoderAppStatic` and
`bin/DecoderAppStatic`. Written by reading the options of a VTM that knows
DeblockingFilterDisable (older ones call it LoopFilterDisable); **it was not run
by us**, the tests use stand-in programs. A 512x512 picture takes it minutes.

The common test conditions' file stays as it is, but for every frame being
coded and the internal depth being the input's (it is 10 otherwise, and the
filter would see a picture that was rounded behind the loop). Luma mapping
(LMCS) is undone before the loop filters and stays on throughout.
"""

import ml_collections

_FILTERS_OFF = ('--SAO=0', '--ALF=0', '--CCALF=0')


def _encoder(folder, *options):
  return (f'{folder}/bin/EncoderAppStatic',
          '-c', f'{folder}/cfg/encoder_intra_vtm.cfg',
          '-i', '{input}', '-b', '{bitstream}', '--ReconFile=',
          '-wdt', '{width}', '-hgt', '{height}', '-fr', '30', '-f', '{frames}',
          '-q', '{qp}', '--InputBitDepth={depth}', '--InternalBitDepth={depth}',
          '--InputChromaFormat=420', '--ConformanceWindowMode=1',
          '--TemporalSubsampleRatio=1', *options)


def get_config(folder: str = '.') -> ml_collections.ConfigDict:
  """Returns the experiment.

  Args:
    folder: of VTM.
  """
  return ml_collections.ConfigDict({
      'data': {'qps': (22, 27, 32, 37), 'depth': 8},
      'codec': {
          'name': 'external',
          'label': 'VTM',
          'encode_command': _encoder(
              folder, '--DeblockingFilterDisable=1', *_FILTERS_OFF),
          'deblocking_encode_command': _encoder(folder, *_FILTERS_OFF),
          'all_encode_command': _encoder(
              folder, '--SAO=1', '--ALF=1', '--CCALF=1'),
          'decode_command': (
              f'{folder}/bin/DecoderAppStatic', '-b', '{bitstream}',
              '-o', '{output}', '-d', '{depth}'),
      },
  })
