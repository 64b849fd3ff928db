import pathlib

import numpy as np
import pytest
import SimpleITK as sitk

from mtf_unet import dicom_series
from mtf_unet import errors
from mtf_unet import orientations
from mtf_unet import volumes
from tests.mtf_unet import dicom

_SHARED = pathlib.Path(__file__).parents[3] / 'shared/data/volumes'
_ARRAY = np.random.default_rng(0).integers(-1000, 1000, (6, 5, 4))
# Slices from the side, as of a spine: rows run back, columns down.
_SAGITTAL = ((0, 1, 0), (0, 0, -1))


@pytest.fixture(name='folder')
def _folder(tmp_path):
  return dicom.write_series(tmp_path / 'series', _ARRAY)


def _error(folder):
  with pytest.raises(errors.InputError) as caught:
    dicom_series.read(folder)
  message = str(caught.value)
  assert str(folder) in message
  assert '\n' not in message
  return message


def test_slices_are_ordered_by_place_and_come_in_hounsfield_units(folder):
  volume = dicom_series.read(folder)
  assert volume.array.dtype == np.float32
  np.testing.assert_array_equal(volume.array, _ARRAY)


@pytest.mark.parametrize('directions', [dicom.STRAIGHT, _SAGITTAL],
                         ids=['axial', 'sagittal'])
def test_every_voxel_lies_where_the_scanner_saw_it(tmp_path, directions):
  folder = dicom.write_series(tmp_path / 'series', _ARRAY, directions)
  row, column = np.array(directions, float)
  steps = np.stack([row, column, np.cross(row, column)], axis=1)
  steps = steps * dicom.SPACING_MM
  lps = np.array(dicom.CORNER_MM) + steps @ (3, 2, 1)
  ras = dicom_series.read(folder).affine @ (3, 2, 1, 1)
  np.testing.assert_allclose(ras[:3], lps * (-1, -1, 1), atol=1e-4)


def test_the_same_scan_in_nifti_has_the_same_grid(folder, tmp_path):
  image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(
      str(folder)))
  sitk.WriteImage(image, str(tmp_path / 'a.nii.gz'))
  scan = dicom_series.read(folder)
  nifti = volumes.read(tmp_path / 'a.nii.gz')
  volumes.check_same_grid(scan, nifti)
  np.testing.assert_array_equal(scan.array, nifti.array)


def test_files_of_other_formats_are_ignored(folder):
  (folder / 'notes.txt').write_text('patient moved')
  (folder / '._0001.dcm').write_bytes(b'junk')
  (folder / 'DICOMDIR').write_bytes(bytes(128) + b'DICM')
  assert dicom_series.read(folder).array.shape == (6, 5, 4)


def test_files_are_known_by_their_content(folder):
  for path in list(folder.iterdir()):
    path.rename(path.with_suffix(''))
  assert dicom_series.is_series(folder)
  assert dicom_series.read(folder).array.shape == (6, 5, 4)


def test_other_folders_are_no_series(tmp_path):
  (tmp_path / 'a.nii').write_bytes(b'junk')
  assert not dicom_series.is_series(tmp_path)
  assert not dicom_series.is_series(tmp_path / 'a.nii')
  assert 'no DICOM file' in _error(tmp_path)


def test_a_single_slice_is_a_volume_of_one(tmp_path):
  dicom.write_series(tmp_path / 'one', _ARRAY[:, :, :1])
  volume = dicom_series.read(tmp_path / 'one')
  np.testing.assert_array_equal(volume.array, _ARRAY[:, :, :1])


def test_a_tilted_gantry_keeps_its_slices_places(tmp_path):
  for z in range(4):
    x, y, at = dicom.CORNER_MM
    dicom.write_slice(tmp_path / f'{z}.dcm', _ARRAY[:, :, z],
                      corner_mm=(x, y + 0.5 * z, at + 2.0 * z))
  affine = dicom_series.read(tmp_path).affine
  np.testing.assert_allclose(affine[:3, 2], (0, -0.5, 2.0), atol=1e-6)


def test_several_series_are_named(folder):
  dicom.write_slice(folder / 'x.dcm', _ARRAY[:, :, 0], series='1.2.9',
                    description='chest')
  message = _error(folder)
  assert '2 series' in message
  assert 'head (UID 1.2.3, 4 files' in message
  assert 'chest (UID 1.2.9, 1 files, x.dcm first)' in message


def test_a_missing_slice_is_told_between_its_neighbours(folder):
  neighbours = [dicom.slice_at(folder, z).name for z in (1, 3)]
  dicom.slice_at(folder, 2).unlink()
  # Three slices leave no usual gap; five more do.
  for z in range(4, 9):
    x, y, at = dicom.CORNER_MM
    dicom.write_slice(folder / f'more_{z}.dcm', _ARRAY[:, :, 0],
                      corner_mm=(x, y, at + z * dicom.SPACING_MM[2]))
  message = _error(folder)
  assert f'1 slice missing between {neighbours[0]} and {neighbours[1]}' in (
      message)
  assert '5 mm, expected 2.5 mm' in message


def test_uneven_slices_are_refused(folder):
  x, y, at = dicom.CORNER_MM
  dicom.write_slice(folder / 'off.dcm', _ARRAY[:, :, 0],
                    corner_mm=(x, y, at + 3.3 * dicom.SPACING_MM[2]))
  assert 'uneven slices between' in _error(folder)


def test_a_slice_that_is_there_twice_is_named(folder):
  path = dicom.slice_at(folder, 1)
  (folder / 'copy.dcm').write_bytes(path.read_bytes())
  message = _error(folder)
  assert 'lie at the same place' in message
  assert 'copy.dcm' in message and path.name in message


def test_slices_that_mostly_lie_at_one_place_are_named(tmp_path):
  for name, z in (('a', 0), ('b', 5), ('c', 5), ('d', 5)):
    dicom.write_slice(tmp_path / f'{name}.dcm', _ARRAY[:, :, 0],
                      corner_mm=(0, 0, z))
  assert 'b.dcm and c.dcm lie at the same place' in _error(tmp_path)


@pytest.mark.parametrize('changes, words', [
    ({'spacing_mm': (0.8, 0.9)}, 'other directions or voxel sizes'),
    ({'directions': _SAGITTAL}, 'other directions or voxel sizes'),
], ids=['voxel size', 'direction'])
def test_a_slice_that_is_not_like_the_others_is_named(folder, changes, words):
  x, y, at = dicom.CORNER_MM
  dicom.write_slice(folder / 'odd.dcm', _ARRAY[:, :, 0], corner_mm=(
      x, y, at + 4 * dicom.SPACING_MM[2]), **changes)
  message = _error(folder)
  assert 'odd.dcm' in message and words in message


def test_slices_of_mixed_sizes_are_named(folder):
  x, y, at = dicom.CORNER_MM
  dicom.write_slice(folder / 'small.dcm', _ARRAY[:4, :, 0], corner_mm=(
      x, y, at + 4 * dicom.SPACING_MM[2]))
  message = _error(folder)
  assert 'small.dcm: 4x5x1 voxels' in message
  assert '6x5x1' in message


def test_slices_that_are_shifted_sideways_are_named(folder):
  x, y, at = dicom.CORNER_MM
  dicom.write_slice(folder / 'moved.dcm', _ARRAY[:, :, 0], corner_mm=(
      x + 9, y, at + 4 * dicom.SPACING_MM[2]))
  assert 'shifted sideways' in _error(folder)


@pytest.mark.parametrize('kept', [0.3, 0.9], ids=str)
def test_a_damaged_slice_is_named(folder, kept):
  path = dicom.slice_at(folder, 2)
  data = path.read_bytes()
  path.write_bytes(data[:int(len(data) * kept)])
  assert path.name in _error(folder)


def test_a_colour_picture_is_refused(tmp_path):
  image = sitk.GetImageFromArray(
      np.zeros((1, 5, 6, 3), np.uint8), isVector=True)
  sitk.WriteImage(image, str(tmp_path / 'photo.dcm'))
  assert 'photo.dcm: a colour picture' in _error(tmp_path)


@pytest.mark.skipif(not _SHARED.is_dir(), reason='the shared data is not here')
def test_a_real_ct_has_the_grid_of_its_segmentation():
  folder = _SHARED / 'totalsegmentator_ct_dicom'
  scan = dicom_series.read(folder)
  label = volumes.read(folder / 'seg117_pseudo.nii.gz')
  assert scan.array.shape == (512, 512, 20)
  assert volumes.spacing_mm(scan.affine) == pytest.approx(
      (0.9765625, 0.9765625, 2.0))
  assert scan.array.min() == -1024
  # One file's rows run back, the other's to the front.
  volumes.check_same_grid(*(orientations.to_canonical(v)[0]
                            for v in (scan, label)))
