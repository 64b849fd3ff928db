"""The C99 decoder, built three ways, against the reference in NumPy."""

import dataclasses
import os
import subprocess

import numpy as np
import pytest

from cnn_loopfilter import artefact
from cnn_loopfilter import frames
from cnn_loopfilter import integer_graph
from cnn_loopfilter import pretrained
from cnn_loopfilter import runtime
from tests.cnn_loopfilter import integer_arrays_test
from tests.cnn_loopfilter import integer_filters
from tests.cnn_loopfilter import interchange_runners

pytestmark = pytest.mark.skipif(interchange_runners.COMPILER is None,
                                reason='there is no C compiler')
_BUILDS = {'plain': ('-O0',), 'optimized': ('-O3',),
           'sanitized': ('-O1', '-fsanitize=address,undefined',
                         '-fno-sanitize-recover=all')}


@pytest.fixture(scope='module')
def programs(tmp_path_factory):
  folder = tmp_path_factory.mktemp('programs')
  for name, options in _BUILDS.items():
    interchange_runners.build_decoder(folder / name, *options)
  return folder


@pytest.fixture(params=_BUILDS)
def program(programs, request):
  return programs / request.param


def _run(program, *arguments, leaks=True):
  done = subprocess.run(
      [program, *arguments], capture_output=True, text=True, timeout=120,
      env=os.environ | {'ASAN_OPTIONS':
                        f'exitcode=99:detect_leaks={int(leaks)}'})
  assert done.returncode in (0, 1), done.stderr
  return done


def _told(program, *arguments):
  """What it says when it refuses; always one line."""
  # An error ends the program where it is; nothing is freed before.
  done = _run(program, *arguments, leaks=False)
  assert done.returncode == 1
  assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1
  return done.stderr


def _filtered(program, npz, frame, qp):
  """Writes a frame, lets the program filter it, reads it again."""
  layout, folder = frame.format, npz.parent
  (folder / 'in.yuv').write_bytes(frame.to_bytes())
  done = _run(program, npz, folder / 'in.yuv', folder / 'out.yuv',
              f'--size={layout.width}x{layout.height}', f'--qp={qp}',
              f'--chroma={layout.chroma}')
  assert done.returncode == 0, done.stderr
  assert sorted(path.name for path in folder.glob('out*')) == ['out.yuv']
  return frames.frame_from_bytes((folder / 'out.yuv').read_bytes(), layout)


def _random_frame(width, height, depth, chroma):
  rng = np.random.default_rng(width)
  layout = frames.Format(width, height, depth, chroma)
  return frames.Frame(tuple(
      rng.integers(0, 2 ** depth, shape).astype(frames.sample_dtype(depth))
      for shape in layout.plane_shapes), layout)


def _same(program, npz, filter_, frame, qp):
  reference = runtime.Reference(filter_)
  for found, plane in zip(_filtered(program, npz, frame, qp).planes,
                          frame.planes):
    np.testing.assert_array_equal(found, reference.filter_plane(plane, qp))


@pytest.fixture(scope='module', params=integer_filters.MORE_CASES)
def case(request, tmp_path_factory):
  """A filter that shifts both ways and clamps, and its file."""
  filter_ = integer_filters.random_filter(
      **integer_filters.MORE_CASES[request.param], with_vector=True)
  folder = tmp_path_factory.mktemp(request.param)
  artefact.save(filter_, folder)
  return filter_, folder / artefact.NPZ_NAME


def test_random_filters_give_their_known_answers(case, program):
  assert 'bit for bit' in _run(program, case[1], '--check').stdout


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (7, 2), (67, 71)])
def test_odd_sizes_give_the_same_bits(case, program, size):
  filter_, npz = case
  if filter_.depth in frames.DEPTHS:
    _same(program, npz, filter_, _random_frame(*size, filter_.depth, '400'),
          41)


@pytest.mark.parametrize('chroma', ['420', '422', '444'])
@pytest.mark.parametrize('depth', [8, 10])
def test_all_planes_are_filtered(tmp_path, programs, depth, chroma):
  filter_ = integer_filters.random_filter(depth=depth, widths=(4, 1))
  artefact.save(filter_, tmp_path)
  _same(programs / 'sanitized', tmp_path / artefact.NPZ_NAME, filter_,
        _random_frame(14, 6, depth, chroma), 0)


def test_several_frames_are_filtered(tmp_path, programs):
  filter_ = integer_filters.random_filter(widths=(4, 1))
  artefact.save(filter_, tmp_path)
  planes = np.stack([_random_frame(5, 4, 8, '400').planes[0] + i
                     for i in range(3)])
  planes.tofile(tmp_path / 'in.yuv')
  _run(programs / 'plain', tmp_path / artefact.NPZ_NAME, tmp_path / 'in.yuv',
       tmp_path / 'out.yuv', '--size=5x4', '--qp=30', '--chroma=400')
  found = np.fromfile(tmp_path / 'out.yuv', np.uint8).reshape(3, 4, 5)
  for plane, filtered in zip(planes, found):
    np.testing.assert_array_equal(
        filtered, runtime.Reference(filter_).filter_plane(plane, 30))


def test_a_limit_above_24_bits_is_clamped_exactly(tmp_path, program):
  filter_ = integer_filters.with_answer(integer_filters.clamping_filter())
  artefact.save(filter_, tmp_path)
  assert _run(program, tmp_path / artefact.NPZ_NAME,
              '--check').returncode == 0


@pytest.mark.parametrize('name', pretrained.names())
def test_shipped_filters_give_their_known_answers(name, program):
  npz = pretrained.folder(name) / artefact.NPZ_NAME
  assert 'bit for bit' in _run(program, npz, '--check').stdout


def test_a_wrong_known_answer_is_told(tmp_path, programs):
  filter_ = integer_filters.random_filter(with_vector=True)
  wrong = filter_.vector.filtered.copy()
  wrong[1, 2, 3, 0] ^= 1
  artefact.save(dataclasses.replace(filter_, vector=dataclasses.replace(
      filter_.vector, filtered=wrong)), tmp_path)
  assert 'plane 1 of the known answer differs at sample 31' in _told(
      programs / 'plain', tmp_path / artefact.NPZ_NAME, '--check')


@pytest.mark.parametrize(('flags', 'message'), [
    (('--qp=30',), 'usage'), (('--size=5x4',), 'usage'),
    (('--size=5', '--qp=30'), 'expected WxH'),
    (('--size=0x4', '--qp=30'), 'a number of 1 to 65535'),
    (('--size=5x4', '--qp=64'), '--qp: expected a number of 0 to 63'),
    (('--size=5x4', '--qp=30'), '5x4, expected even numbers for chroma 420'),
    (('--size=4x4', '--qp=30', '--depth=10'), 'was made for 8'),
    (('--size=4x4', '--qp=30', '--chroma=401'), '400, 420, 422 or 444'),
    (('--size=4x4x', '--qp=30'), 'nothing behind the value'),
    (('--size=4x4', '--qp=30', '--sise=4'), '--sise=4: unknown'),
    (('--size=4x4', '--qp=30'), '19 bytes, expected a multiple of 24'),
])
def test_bad_flags_and_sizes_are_told(tmp_path, programs, flags, message):
  (tmp_path / 'in.yuv').write_bytes(bytes(19))
  npz = pretrained.folder() / artefact.NPZ_NAME
  assert message in _told(programs / 'sanitized', npz, tmp_path / 'in.yuv',
                          tmp_path / 'out.yuv', *flags)
  assert not list(tmp_path.glob('out*'))


def test_samples_of_too_many_bits_are_told(tmp_path, programs):
  filter_ = integer_filters.random_filter(depth=10, widths=(2, 1))
  artefact.save(filter_, tmp_path)
  np.full(4, 1024, '<u2').tofile(tmp_path / 'in.yuv')
  assert 'a sample of 1024, expected 10 bits' in _told(
      programs / 'sanitized', tmp_path / artefact.NPZ_NAME,
      tmp_path / 'in.yuv', tmp_path / 'out.yuv', '--size=2x2', '--qp=1',
      '--chroma=400')
  assert not list(tmp_path.glob('out*'))


def _unchecked(**attributes):
  """A filter that IntegerFilter would refuse, enough of it to be saved."""
  filter_ = integer_filters.random_filter()
  made = object.__new__(integer_graph.IntegerFilter)
  for name in ('depth', 'layers', 'description', 'vector'):
    object.__setattr__(made, name, attributes.get(name, getattr(filter_,
                                                                name)))
  return made


def test_a_filter_that_can_leave_int32_is_refused(tmp_path, programs):
  layers = list(integer_filters.random_filter().layers)
  layers[1] = dataclasses.replace(
      layers[1], weights=np.full_like(layers[1].weights, 2 ** 27),
      weight_bits=32)
  artefact.save(_unchecked(layers=tuple(layers)), tmp_path)
  assert 'layer 1, channel 0: its sum can leave int32' in _told(
      programs / 'sanitized', tmp_path / artefact.NPZ_NAME, '--check')


def test_missing_and_strange_files_are_told(tmp_path, programs):
  program = programs / 'sanitized'
  assert 'cannot be opened' in _told(program, tmp_path / 'none.npz', '--check')
  np.savez_compressed(tmp_path / 'a.npz', version=np.int32(1))
  assert 'packed, expected them stored' in _told(
      program, tmp_path / 'a.npz', '--check')
  (tmp_path / 'b.npz').write_bytes(
      integer_arrays_test.overlapping_archive())
  assert 'b: over another file' in _told(program, tmp_path / 'b.npz',
                                         '--check')
  assert 'usage' in _told(program)
