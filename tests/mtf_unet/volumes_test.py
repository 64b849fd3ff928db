import pathlib

import nibabel
import numpy as np
import pytest

from mtf_unet import errors
from mtf_unet import volumes
from tests.mtf_unet import scans

_SHARED = pathlib.Path(__file__).parents[3] / 'shared/data/volumes'


@pytest.fixture
def image_path(tmp_path):
  return scans.write(tmp_path / 'image.nii.gz', scans.pair(0)[0])


def _error(path, read=volumes.read):
  with pytest.raises(errors.InputError) as caught:
    read(path)
  message = str(caught.value)
  assert str(path) in message
  assert '\n' not in message
  return message


@pytest.mark.parametrize('ending', ['.nii', '.nii.gz'])
@pytest.mark.parametrize('dtype', [np.int16, np.float64, np.uint8])
def test_read_gives_float32_voxels_and_affine(tmp_path, ending, dtype):
  array = np.arange(24).reshape(2, 3, 4).astype(dtype)
  volume = volumes.read(scans.write(tmp_path / f'a{ending}', array))
  assert volume.array.dtype == np.float32
  np.testing.assert_array_equal(volume.array, array)
  np.testing.assert_allclose(volume.affine, scans.affine())


def test_read_keeps_channels(tmp_path):
  array = np.zeros((2, 3, 4, 5), np.float32)
  assert volumes.read(
      scans.write(tmp_path / 'a.nii.gz', array)).array.shape == array.shape


def test_read_applies_the_header_s_scale(tmp_path):
  image = nibabel.Nifti1Image(np.ones((2, 2, 2), np.int16), np.eye(4))
  image.header.set_slope_inter(2, -1024)
  raw = bytearray(image.to_bytes())
  raw[112:120] = np.array([2, -1024], '<f4').tobytes()
  (tmp_path / 'a.nii').write_bytes(raw)
  assert volumes.read(tmp_path / 'a.nii').array[0, 0, 0] == -1022


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_read_refuses_voxels_that_are_not_finite(tmp_path, bad):
  array = np.zeros((3, 3, 3), np.float32)
  array[1, 2, 0] = bad
  path = scans.write(tmp_path / 'a.nii.gz', array)
  assert '1 voxels are NaN or infinite' in _error(path)


@pytest.mark.parametrize('shape', [(4, 4), (2, 2, 2, 2, 2)], ids=str)
def test_read_refuses_other_ranks(tmp_path, shape):
  path = scans.write(tmp_path / 'a.nii.gz', np.zeros(shape, np.float32))
  assert 'expected [x, y, z]' in _error(path)


@pytest.mark.parametrize('kept', [0.0, 0.1, 0.9, 0.99], ids=str)
def test_read_refuses_a_truncated_gzip_file(image_path, kept):
  scans.truncate(image_path, kept)
  _error(image_path)


def test_read_refuses_a_truncated_plain_file(tmp_path):
  path = scans.write(tmp_path / 'a.nii', np.zeros((9, 9, 9), np.float32))
  scans.truncate(path)
  assert 'cannot hold them' in _error(path)


def test_read_refuses_sizes_that_the_file_cannot_hold(tmp_path):
  image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4))
  raw = bytearray(image.to_bytes())
  raw[42:48] = np.array([30000, 30000, 30000], '<i2').tobytes()
  (tmp_path / 'huge.nii').write_bytes(raw)
  assert '108000000000000 bytes' in _error(tmp_path / 'huge.nii')


def test_read_refuses_what_is_no_nifti_file(tmp_path):
  path = tmp_path / 'a.nii.gz'
  path.write_text('hello')
  assert 'no NIfTI file' in _error(path)


def test_read_refuses_a_missing_file(tmp_path):
  assert 'no such file' in _error(tmp_path / 'none.nii.gz')


@pytest.mark.parametrize('row', [(0, 0, 0, 0), (0, 0, np.nan, 0)], ids=str)
def test_read_refuses_an_affine_that_is_no_grid(tmp_path, row):
  image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4))
  raw = bytearray(image.to_bytes())
  raw[312:328] = np.array(row, '<f4').tobytes()
  (tmp_path / 'a.nii').write_bytes(raw)
  assert 'singular or not finite' in _error(tmp_path / 'a.nii')


@pytest.mark.parametrize('value, dtype', [
    (3, np.uint8), (-1, np.int16), (0.5, np.float32), (np.nan, np.float32),
    (300, np.int16)], ids=str)
def test_read_label_names_the_first_bad_value(tmp_path, value, dtype):
  label = scans.pair(0)[1].astype(dtype)
  label[4, 5, 6] = value
  path = scans.write(tmp_path / 'l.nii.gz', label)
  message = _error(path, lambda p: volumes.read_label(p, 3))
  assert f'label {value}' in message
  assert 'at voxel (4, 5, 6), expected whole numbers from 0 to 2' in message


def test_read_label_takes_whole_floats(tmp_path):
  label = scans.pair(0)[1]
  path = scans.write(tmp_path / 'l.nii.gz', label.astype(np.float32))
  read = volumes.read_label(path, 3).array
  assert read.dtype == np.uint8
  np.testing.assert_array_equal(read, label)


def _volume(shape=(4, 5, 6), matrix=None):
  return volumes.Volume(np.zeros(shape, np.float32), scans.affine()
                        if matrix is None else matrix, 'some.nii')


def test_check_same_grid_takes_rounded_affines():
  rounded = scans.affine() + 1e-5
  volumes.check_same_grid(_volume(), _volume(matrix=rounded))


@pytest.mark.parametrize('label, words', [
    (_volume(shape=(4, 5, 7)), 'shape'),
    (_volume(matrix=scans.affine(signs=(-1, 1, 1))), 'affine'),
    (_volume(matrix=scans.affine() + np.diag([0, 0, 0.2, 0])), 'affine'),
], ids=['shape', 'flipped', 'spacing'])
def test_check_same_grid_refuses_other_grids(label, words):
  with pytest.raises(errors.InputError, match=words):
    volumes.check_same_grid(_volume(), label)


def test_spacing_is_that_of_the_array_axes():
  matrix = scans.affine(axes=(2, 0, 1), signs=(-1, 1, -1))
  assert volumes.spacing_mm(matrix) == pytest.approx(scans.SPACING_MM)


def test_written_label_has_the_grid_of_its_scan(tmp_path):
  matrix = scans.affine((1, 2, 0), (-1, 1, -1))
  path = scans.write(tmp_path / 'a.nii.gz', scans.pair(0)[0], matrix)
  scan = volumes.read(path)
  volumes.write_label(tmp_path / 'l.nii.gz', scans.pair(0)[1], scan)
  label = volumes.read_label(tmp_path / 'l.nii.gz', 3)
  np.testing.assert_array_equal(label.array, scans.pair(0)[1])
  np.testing.assert_allclose(label.affine, matrix, atol=1e-5)
  assert sorted(p.name for p in tmp_path.iterdir()) == ['a.nii.gz', 'l.nii.gz']


def test_equal_arrays_give_equal_files(tmp_path):
  for name in ('a.nii.gz', 'b.nii.gz'):
    volumes.write(tmp_path / name, scans.pair(0)[1], scans.affine())
  assert (tmp_path / 'a.nii.gz').read_bytes() == (
      tmp_path / 'b.nii.gz').read_bytes()


def test_write_probabilities_keeps_classes(tmp_path):
  scan = _volume()
  array = np.random.default_rng(0).random((4, 5, 6, 3))
  volumes.write_probabilities(tmp_path / 'p.nii.gz', array, scan)
  np.testing.assert_allclose(
      volumes.read(tmp_path / 'p.nii.gz').array, array, rtol=1e-6)


def test_write_label_refuses_another_shape(tmp_path):
  with pytest.raises(errors.InputError, match='expected that of some.nii'):
    volumes.write_label(
        tmp_path / 'l.nii.gz', np.zeros((6, 5, 4), np.uint8), _volume())


@pytest.mark.skipif(not _SHARED.is_dir(), reason='the shared data is not here')
@pytest.mark.parametrize('name', [
    'sct_spinal_cord/t1w', 'sct_spinal_cord/t2',
    'sct_spinal_cord/t2s_uncropped', 'totalsegmentator_ct/example_ct_sm',
    'totalsegmentator_mr/example_mr_sm'])
def test_real_scans_survive_a_write(tmp_path, name):
  scan = volumes.read(_SHARED / f'{name}.nii.gz')
  label = (scan.array > scan.array.mean()).astype(np.uint8)
  volumes.write_label(tmp_path / 'l.nii.gz', label, scan)
  written = volumes.read_label(tmp_path / 'l.nii.gz', 2)
  volumes.check_same_grid(scan, written)
  np.testing.assert_array_equal(written.array, label)
