import sys

import numpy as np
import pytest

from cnn_loopfilter import codec
from cnn_loopfilter import config as config_lib
from configs.cnn_loopfilter import vtm
from tests.cnn_loopfilter import wave_frames

# Copies the file behind one option to the one behind another, and keeps what
# it was told.
_STAND_IN = '''#!{python}
import pathlib, shutil, sys
source, target = {options}
words = sys.argv[1:]
shutil.copy(words[words.index(source) + 1], words[words.index(target) + 1])
pathlib.Path(sys.argv[0] + '.words').write_text('\\n'.join(words))
'''


@pytest.fixture(name='folder')
def _folder(tmp_path):
  folder = tmp_path / 'a folder'
  (folder / 'bin').mkdir(parents=True)
  for name, options in (('Encoder', ('-i', '-b')), ('Decoder', ('-b', '-o'))):
    program = folder / 'bin' / f'{name}AppStatic'
    program.write_text(_STAND_IN.format(python=sys.executable,
                                        options=options))
    program.chmod(0o755)
  return folder


@pytest.mark.parametrize('filters, on, off', [
    ('none', ['--DeblockingFilterDisable=1', '--SAO=0', '--ALF=0',
              '--CCALF=0'], []),
    ('deblocking', ['--SAO=0', '--ALF=0', '--CCALF=0'],
     ['--DeblockingFilterDisable=1']),
    ('all', ['--SAO=1', '--ALF=1', '--CCALF=1'],
     ['--DeblockingFilterDisable=1']),
])
def test_the_commands_go_through_programs(folder, filters, on, off):
  config = config_lib.from_mapping(vtm.get_config(str(folder)))
  one, frame = codec.from_config(config.codec), wave_frames.frame()
  assert one.filters == ('none', 'deblocking', 'all')
  coded = next(one.encode([frame], 32, filters))
  np.testing.assert_array_equal(coded.reconstruction.planes[1],
                                frame.planes[1])
  words = (folder / 'bin/EncoderAppStatic.words').read_text().splitlines()
  for option, value in (('-wdt', '64'), ('-hgt', '48'), ('-q', '32'),
                        ('-f', '1')):
    assert words[words.index(option) + 1] == value
  assert '--InternalBitDepth=8' in words
  assert set(on) <= set(words) and not set(off) & set(words)
