"""filter_video.py as a user runs it, with a tiny filter."""

import os
import subprocess
import sys

import pytest

from cnn_loopfilter import artefact
from cnn_loopfilter import frame_files
from cnn_loopfilter import frames
from cnn_loopfilter import side_file
from tests import script_server
from tests.cnn_loopfilter import clips
from tests.cnn_loopfilter import integer_filters

_SCRIPT = 'scripts/cnn_loopfilter/filter_video.py'
_SMALL = frames.Format(96, 64)
_WORDS = ('F24:1', 'Ip', 'A10:11', 'C420mpeg2', 'XCOLORRANGE=FULL')


def _run(folder, *words):
  return script_server.run(_SCRIPT, *words, cwd=folder)


def _filter(folder, *words):
  done = _run(folder, *words, '--filter=filter', '--backend=numpy')
  assert done.returncode == 0, done.stderr
  return done.stdout


@pytest.fixture(scope='module', name='work')
def _work(tmp_path_factory):
  """A folder with clips, filters, and what the encoder's side made."""
  work = tmp_path_factory.mktemp('work')
  for name, depth, seed in (('filter', 8, 0), ('other', 8, 1),
                            ('deep', 10, 0)):
    (work / name).mkdir()
    artefact.save(integer_filters.random_filter(
        seed, depth=depth, residual_bits=6), work / name)
  clips.write_y4m(work / 'original.y4m', _SMALL, 3, words=_WORDS)
  # Shifted by a frame: it differs, as a reconstruction does.
  clips.write_y4m(work / 'coded.y4m', _SMALL, 3, 1, words=_WORDS)
  clips.write_y4m(work / 'short.y4m', _SMALL, 2, 1)
  clips.write_y4m(work / 'long.y4m', _SMALL, 4, 1)
  clips.write_y4m(work / 'wide.y4m', frames.Format(98, 64), 3)
  data = (work / 'coded.y4m').read_bytes()
  (work / 'cut.y4m').write_bytes(data[:-100])
  clips.write_stream(work / 'avc.mkv', _SMALL, 3, qp='30')
  clips.write_stream(work / 'mpeg2.mkv', _SMALL, 1, 'mpeg2video')
  stream = clips.write_stream(work / 'avc.h264', _SMALL, 3, qp='20', g='1')
  (work / 'cut.h264').write_bytes(stream.read_bytes()[:-1500])
  clips.write_stream(work / 'intra.mkv', _SMALL, 2, 'libx265',
                     **{'x265-params': clips.X265.format(37)})
  _filter(work, 'coded.y4m', 'encoder.y4m', '--qp=37',
          '--original=original.y4m', '--side_file=x.clf', '--block=32')
  side = bytearray((work / 'x.clf').read_bytes())
  (work / 'cut.clf').write_bytes(side[:-20])
  side[70] ^= 1
  (work / 'damaged.clf').write_bytes(side)
  return work


def _crcs(path):
  return [side_file.frame_crc(frame)
          for frame in frame_files.open_file(path).open()]


def test_the_decoders_side_reaches_the_encoders_frames(work):
  said = _filter(work, 'coded.y4m', 'decoder.y4m', '--side_file=x.clf')
  assert 'QP and switches: told by x.clf' in said
  with open(work / 'x.clf', 'rb') as stream:
    told = [record.output_crc for record in
            side_file.Reader(stream, 'x.clf').records()]
  assert _crcs(work / 'encoder.y4m') == _crcs(work / 'decoder.y4m') == told
  assert told != _crcs(work / 'coded.y4m')


def test_header_words_are_kept(work):
  assert frame_files.y4m_words(work / 'encoder.y4m') == _WORDS


def test_several_processes_write_the_same_files(work):
  _filter(work, 'coded.y4m', 'two.y4m', '--qp=37', '--workers=2',
          '--original=original.y4m', '--block=32')
  for one, two in (('encoder.y4m', 'two.y4m'), ('x.clf', 'two.y4m.clf')):
    assert (work / one).read_bytes() == (work / two).read_bytes()


def test_without_switches_everything_is_filtered(work):
  said = _filter(work, 'coded.y4m', 'all.yuv', '--qp=37')
  assert 'QP: 37, by --qp' in said and '3 frames. Written to all.yuv' in said
  one = frame_files.open_yuv(work / 'all.yuv', _SMALL)
  crcs = [side_file.frame_crc(frame) for frame in one.open()]
  assert not set(crcs) & set(_crcs(work / 'coded.y4m'))


def test_h264_tells_its_qp_and_is_filtered_behind_the_decoder(work):
  said = _filter(work, 'avc.mkv', 'avc.y4m')
  assert 'a filter behind the decoder' in said
  assert 'macroblock by macroblock, the mean of each frame' in said
  said = _filter(work, 'avc.mkv', 'block.y4m', '--block_qp', '--block=32')
  assert 'the mean of each block of 32 samples' in said


def test_all_intra_hevc_is_filtered_in_the_loop(work):
  said = _filter(work, 'intra.mkv', 'intra.y4m')
  assert 'exactly in the loop' in said and 'slice headers' in said
  _filter(work, 'intra.mkv', 'qp.y4m', '--qp=37')
  assert _crcs(work / 'intra.y4m') == _crcs(work / 'qp.y4m')
  assert len(_crcs(work / 'intra.y4m')) == 2


@pytest.mark.parametrize('chroma', list(frames.SUBSAMPLING))
def test_ten_bits_go_through_a_filter_of_eight(work, chroma):
  layout = frames.Format(64, 40, 10, chroma)
  clips.write_y4m(work / 'deep.y4m', layout, 2)
  said = _filter(work, 'deep.y4m', f'{chroma}.y4m', '--qp=30',
                 '--original=deep.y4m')
  assert 'made for 8 bits; the same integers are used for 10' in said
  # Nothing is better than the original itself.
  assert _crcs(work / f'{chroma}.y4m') == _crcs(work / 'deep.y4m')


_MISTAKES = {
    'no_qp': (['coded.y4m'], '--qp: got none, expected 0 to 63, as coded.y4m'),
    'no_qp_mpeg2': (['mpeg2.mkv'], 'as mpeg2.mkv tells no QP'),
    'none': (['none.y4m', '--qp=30'], 'none.y4m: no such file'),
    'cut': (['cut.y4m', '--qp=30'], 'cut.y4m: ends within frame 2'),
    'cut_stream': (['cut.h264'], 'cut.h264: cannot be read or decoded'),
    'size': (['coded.y4m', '--qp=30', '--original=wide.y4m'],
             'wide.y4m: got Format(width=98'),
    'short': (['coded.y4m', '--qp=30', '--original=short.y4m'],
              'short.y4m: ends after 2 frames'),
    'long': (['coded.y4m', '--qp=30', '--original=long.y4m'],
             'long.y4m: goes on after 3 frames'),
    'depth': (['coded.y4m', '--qp=30', '--filter=deep'],
              'got video of 8 bits, expected 10 or more'),
    'filter': (['coded.y4m', '--qp=30', '--filter=none'],
               'none/filter.json: no such file'),
    'other': (['coded.y4m', '--side_file=x.clf', '--filter=other'],
              'x.clf: was made with the filter'),
    'clf_size': (['wide.y4m', '--side_file=x.clf'], 'x.clf: is for frames of'),
    'clf_short': (['short.y4m', '--side_file=x.clf'],
                  'x.clf: goes on after 2 frames'),
    'clf_long': (['long.y4m', '--side_file=x.clf'],
                 'x.clf: ends after 3 frames'),
    'clf_cut': (['coded.y4m', '--side_file=cut.clf'],
                'cut.clf: ends within'),
    'clf_damaged': (['coded.y4m', '--side_file=damaged.clf'],
                    'checksum of the record of frame 0 is wrong'),
    'clf_none': (['coded.y4m', '--side_file=none.clf'], 'none.clf'),
    'clf_is_y4m': (['coded.y4m', '--side_file=coded.y4m'],
                   "expected b'CNNLFCLF'"),
    'another': (['original.y4m', '--side_file=x.clf'],
                'the filtered frame has another checksum'),
    'qp_twice': (['coded.y4m', '--side_file=x.clf', '--qp=30'],
                 '--qp: the side file tells it'),
    'block_twice': (['coded.y4m', '--side_file=x.clf', '--block=64'],
                    '--block: the side file tells it'),
    'qp_range': (['coded.y4m', '--qp=64'], 'qp'),
    'block': (['coded.y4m', '--qp=30', '--block=48'], 'got 48 luma samples'),
}


@pytest.mark.parametrize('words, message', _MISTAKES.values(),
                         ids=_MISTAKES.keys())
def test_mistakes_leave_what_was_there(work, words, message):
  (work / 'out').mkdir(exist_ok=True)
  (work / 'out/x.y4m').write_bytes(b'older')
  done = _run(work, words[0], 'out/x.y4m', '--backend=numpy',
              *(() if any('--filter' in word for word in words)
                else ('--filter=filter',)), *words[1:])
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1].startswith('error: ')
  assert message in done.stderr.splitlines()[-1]
  assert 'Traceback' not in done.stderr
  assert [path.name for path in (work / 'out').iterdir()] == ['x.y4m']
  assert (work / 'out/x.y4m').read_bytes() == b'older'


@pytest.mark.parametrize('words, message', [
    (['coded.y4m'], 'got 1 arguments, expected IN OUT'),
    (['coded.y4m', 'x.y4m', 'more'], 'more: unexpected argument'),
    (['coded.y4m', 'x.mp4', '--qp=30'], "ending '.mp4', expected .y4m or .yuv"),
    (['coded.y4m', 'coded.y4m', '--qp=30'], 'coded.y4m: is to be written'),
    (['coded.y4m', 'x.y4m', '--qp=30', '--original=original.y4m',
      '--side_file=original.y4m'], 'original.y4m: is to be written'),
    (['coded.y4m', 'x.y4m', '--qp=30', '--original=original.y4m',
      '--side_file=./x.y4m'], 'x.y4m: is to be written beside'),
])
def test_wrong_names_are_told(work, words, message):
  done = _run(work, *words)
  assert done.returncode == 1
  assert message in done.stderr.splitlines()[-1]
  assert not (work / 'x.y4m').exists()


def test_no_process_outlives_the_first(work):
  clips.write_y4m(work / 'endless.y4m', frames.Format(352, 288), 40)
  first = subprocess.Popen(
      [sys.executable, str(script_server.ROOT / _SCRIPT), 'endless.y4m',
       'killed.y4m', '--qp=30', '--filter=filter', '--backend=numpy',
       '--workers=2'], cwd=work, stderr=subprocess.PIPE, text=True,
      env={**os.environ, 'PYTHONPATH': str(script_server.ROOT)})
  while 'of 40 frames' not in first.stderr.readline():
    assert first.poll() is None
  first.kill()
  # Ends when the last process that writes there has ended.
  first.communicate(timeout=600)
  assert not (work / 'killed.y4m').exists()


@pytest.mark.slow
def test_the_shipped_filter_is_the_default_on_any_number_of_processes(work):
  for workers in ('1', '2'):
    done = _run(work, 'coded.y4m', f'shipped{workers}.y4m', '--qp=37',
                f'--workers={workers}')
    assert done.returncode == 0, done.stderr
  crcs = _crcs(work / 'shipped1.y4m')
  assert len(crcs) == 3 and crcs == _crcs(work / 'shipped2.y4m')
