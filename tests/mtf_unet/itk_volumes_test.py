import numpy as np
import pytest
import SimpleITK as sitk

from mtf_unet import errors
from mtf_unet import itk_volumes
from mtf_unet import volumes

_ENDINGS = ('mha', 'nrrd')


def _image(shape=(4, 5, 6), dtype=np.int16, channels=None, seed=0):
  """An oblique grid; [z, y, x] voxels, as ITK has them."""
  rng = np.random.default_rng(seed)
  size = shape[::-1] + (() if channels is None else (channels,))
  array = rng.integers(0, 1000, size).astype(dtype)
  image = sitk.GetImageFromArray(array, isVector=channels is not None)
  image.SetSpacing((1.5, 2.0, 3.0))
  image.SetOrigin((-20.0, 30.0, 5.0))
  c, s = np.cos(0.3), np.sin(0.3)
  image.SetDirection((c, -s, 0, s, c, 0, 0, 0, -1))
  return image


def _write(path, image, compressed=False):
  sitk.WriteImage(image, str(path), useCompression=compressed)
  return path


def _error(path):
  with pytest.raises(errors.InputError) as caught:
    itk_volumes.read(path)
  assert '\n' not in str(caught.value)
  assert str(path) in str(caught.value)
  return str(caught.value)


@pytest.mark.parametrize('compressed', [False, True], ids=['raw', 'compressed'])
@pytest.mark.parametrize('ending', _ENDINGS)
@pytest.mark.parametrize('dtype', [np.uint8, np.int16, np.float64])
def test_voxels_and_grid_are_those_of_the_same_nifti(tmp_path, ending, dtype,
                                                     compressed):
  image = _image(dtype=dtype)
  scan = itk_volumes.read(_write(tmp_path / f'a.{ending}', image, compressed))
  nifti = volumes.read(_write(tmp_path / 'a.nii', image))
  assert scan.array.dtype == dtype
  np.testing.assert_array_equal(scan.array, nifti.array)
  np.testing.assert_allclose(scan.affine, nifti.affine, atol=1e-5)


@pytest.mark.parametrize('ending', _ENDINGS)
def test_several_numbers_for_each_voxel_are_channels(tmp_path, ending):
  image = _image(channels=2, dtype=np.float32)
  scan = itk_volumes.read(_write(tmp_path / f'a.{ending}', image))
  assert scan.array.shape == (4, 5, 6, 2)
  np.testing.assert_array_equal(
      scan.array, sitk.GetArrayFromImage(image).transpose(2, 1, 0, 3))


@pytest.mark.parametrize('ending', _ENDINGS)
def test_a_fourth_axis_is_channels(tmp_path, ending):
  array = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
  image = sitk.GetImageFromArray(array, isVector=False)
  image.SetSpacing((1.0, 2.0, 3.0, 1.0))
  scan = itk_volumes.read(_write(tmp_path / f'a.{ending}', image))
  np.testing.assert_array_equal(scan.array, array.transpose(3, 2, 1, 0))
  assert volumes.spacing_mm(scan.affine) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize('compressed', [False, True], ids=['raw', 'compressed'])
@pytest.mark.parametrize('ending', _ENDINGS)
@pytest.mark.parametrize('kept', [0.0, 0.1, 0.6, 0.9], ids=str)
def test_a_truncated_file_is_named(tmp_path, ending, compressed, kept):
  path = _write(tmp_path / f'a.{ending}', _image((20, 20, 20)), compressed)
  data = path.read_bytes()
  path.write_bytes(data[:int(len(data) * kept)])
  _error(path)


def test_sizes_that_the_file_cannot_hold_are_refused_at_once(tmp_path):
  path = _write(tmp_path / 'a.mha', _image())
  path.write_bytes(path.read_bytes().replace(
      b'DimSize = 4 5 6', b'DimSize = 30000 30000 30000'))
  assert 'the header promises 54000000000000 bytes' in _error(path)


@pytest.mark.parametrize('ending, old, new', [
    ('mha', b'ElementDataFile = LOCAL', b'ElementDataFile = other.raw'),
    ('nrrd', b'encoding: raw', b'encoding: raw\ndata file: other.raw')],
    ids=_ENDINGS)
def test_voxels_in_another_file_are_refused(tmp_path, ending, old, new):
  path = _write(tmp_path / f'a.{ending}', _image())
  path.write_bytes(path.read_bytes().replace(old, new))
  assert 'lie in another file' in _error(path)


@pytest.mark.parametrize('ending', _ENDINGS)
def test_what_is_of_another_format_is_named(tmp_path, ending):
  path = tmp_path / f'a.{ending}'
  path.write_text('hello')
  assert 'another format' in _error(path)
  path.unlink()
  assert 'no such file' in _error(path)


def test_a_picture_and_complex_numbers_are_refused(tmp_path):
  flat = sitk.GetImageFromArray(np.zeros((4, 5), np.uint8))
  assert 'expected [x, y, z]' in _error(_write(tmp_path / 'flat.mha', flat))
  odd = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.complex64))
  assert 'expected numbers' in _error(_write(tmp_path / 'odd.nrrd', odd))
