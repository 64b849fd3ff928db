import shutil
import subprocess
import sys

import numpy as np
import pytest

from cnn_loopfilter import codec
from cnn_loopfilter import config as config_lib
from configs.cnn_loopfilter import vvenc
from tests.cnn_loopfilter import wave_frames

# Copies its input to its output and keeps what it was told.
_STAND_IN = '''#!{python}
import pathlib, shutil, sys
words = sys.argv[1:]
shutil.copy(words[words.index('-i') + 1], words[-1])
with open(sys.argv[0] + '.words', 'a') as stream:
  stream.write(' '.join(words) + '\\n')
'''
_OFF = {'SAO=0', 'ALF=0', 'CCALF=0'}


@pytest.fixture(name='program')
def _program(tmp_path):
  program = tmp_path / 'ffmpeg'
  program.write_text(_STAND_IN.format(python=sys.executable))
  program.chmod(0o755)
  return program


@pytest.mark.parametrize('filters, wanted', [
    ('none', _OFF | {'LoopFilterDisable=1'}), ('deblocking', _OFF),
    ('all', {'SAO=1', 'ALF=1', 'CCALF=1'})])
def test_the_commands_go_through_a_program(program, filters, wanted):
  config = config_lib.from_mapping(vvenc.get_config(str(program)))
  one, frame = codec.from_config(config.codec), wave_frames.frame()
  coded = next(one.encode([frame], 32, filters))
  np.testing.assert_array_equal(coded.reconstruction.planes[1],
                                frame.planes[1])
  encoder = (program.parent / 'ffmpeg.words').read_text().splitlines()[0]
  words = encoder.split(' ')
  parameters = set(words[words.index('-vvenc-params') + 1].split(':'))
  assert parameters - {'IntraQPOffset=0', 'InternalBitDepth=8', 'MCTF=0',
                       'BIM=0', 'EncDbOpt=0'} == wanted
  assert words[words.index('-s') + 1] == '64x48'
  assert words[words.index('-qp') + 1] == '32'


def _has_vvenc():
  program = shutil.which('ffmpeg')
  return program and b'libvvenc' in subprocess.run(
      [program, '-v', 'quiet', '-encoders'], check=False,
      stdout=subprocess.PIPE).stdout


@pytest.mark.skipif(not _has_vvenc(), reason='no ffmpeg with libvvenc on PATH')
def test_vvc_codes_frames_and_the_filters_change_them():
  config = config_lib.from_mapping(vvenc.get_config())
  one, frame = codec.from_config(config.codec), wave_frames.frame()
  coded = {filters: next(one.encode([frame], 37, filters))
           for filters in one.filters}
  planes = [found.reconstruction.planes[0] for found in coded.values()]
  assert not np.array_equal(planes[0], planes[-1])
  for found in coded.values():
    difference = (found.reconstruction.planes[0].astype(int)
                  - frame.planes[0].astype(int))
    assert 0 < np.mean(difference ** 2) < 200
