import pathlib

import numpy as np
import pytest
import SimpleITK as sitk

from mtf_unet import errors
from mtf_unet import scan_files
from tests.mtf_unet import dicom
from tests.mtf_unet import scans


def _paths(*names):
  return [pathlib.Path('folder') / name for name in names]


@pytest.mark.parametrize('name, stem', [
    ('a.nii', 'a'), ('a.b.nii.gz', 'a.b'), ('a.mha', 'a'), ('a.NRRD', 'a'),
    ('folder/series', 'series'), ('a.txt', 'a.txt')])
def test_stem_is_the_name_without_the_format(name, stem):
  assert scan_files.stem(name) == stem


def test_modalities_are_grouped_in_the_order_of_their_numbers():
  paths = _paths('b_0001.nii.gz', 'a_0000.mha', 'b_0000.nii.gz', 'c.nii')
  assert scan_files.modalities(paths) == {
      'b': (paths[2], paths[0]), 'a': (paths[1],), 'c': (paths[3],)}


@pytest.mark.parametrize('names, words', [
    (('a_0000.nii', 'a_0002.nii'), 'no file a_0001, expected it beside'),
    (('a_0001.nii',), 'no file a_0000'),
    (('a_0000.nii', 'a_0000.mha'), 'the same name as a_0000.nii'),
    (('a.nii', 'a_0000.nii'), 'the same name as a.nii'),
], ids=['gap', 'first', 'twice', 'with and without'])
def test_a_modality_that_is_missing_or_there_twice_is_named(names, words):
  with pytest.raises(errors.InputError, match=words):
    scan_files.modalities(_paths(*names))


def test_files_of_all_formats_are_joined_as_channels(tmp_path):
  image, _ = scans.pair(0)
  first = scans.write(tmp_path / 'a_0000.nii.gz', image)
  second = sitk.ReadImage(str(first)) * 2
  for name, part in (('a_0001.mha', second), ('a_0002.nrrd', second)):
    sitk.WriteImage(part, str(tmp_path / name))
  joined = scan_files.read([first, tmp_path / 'a_0001.mha',
                            tmp_path / 'a_0002.nrrd'])
  assert joined.array.dtype == np.float32
  np.testing.assert_array_equal(
      joined.array, np.stack([image, 2 * image, 2 * image], axis=-1))
  np.testing.assert_allclose(joined.affine, scans.affine(), atol=1e-4)


def test_modalities_on_other_grids_are_refused(tmp_path):
  image, _ = scans.pair(0)
  paths = [scans.write(tmp_path / 'a_0000.nii', image),
           scans.write(tmp_path / 'a_0001.nii', image[:-1])]
  with pytest.raises(errors.InputError, match='a_0001.nii'):
    scan_files.read(paths)


def test_a_folder_is_read_as_a_dicom_series(tmp_path):
  array = np.arange(60).reshape(5, 4, 3)
  dicom.write_series(tmp_path / 'ct', array)
  np.testing.assert_array_equal(
      scan_files.read([tmp_path / 'ct']).array, array)


def test_labels_may_be_of_any_format(tmp_path):
  label = scans.pair(0)[1]
  sitk.WriteImage(sitk.GetImageFromArray(label.transpose(2, 1, 0)),
                  str(tmp_path / 'l.nrrd'))
  read = scan_files.read_label(tmp_path / 'l.nrrd', 3)
  assert read.array.dtype == np.uint8
  np.testing.assert_array_equal(read.array, label)
  with pytest.raises(errors.InputError, match='label 2 at voxel'):
    scan_files.read_label(tmp_path / 'l.nrrd', 2)


def test_voxels_that_are_not_finite_are_refused_in_every_format(tmp_path):
  array = np.full((2, 3, 4), np.nan, np.float32)
  sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / 'a.mha'))
  with pytest.raises(errors.InputError, match='NaN or infinite'):
    scan_files.read([tmp_path / 'a.mha'])


def test_what_counts_as_a_scan(tmp_path):
  dicom.write_series(tmp_path / 'ct', np.zeros((4, 4, 2)))
  for name in ('a.nii.gz', 'a.mha', 'notes.txt', '._a.nii'):
    (tmp_path / name).write_bytes(b'')
  (tmp_path / 'other').mkdir()
  assert sorted(path.name for path in tmp_path.iterdir()
                if scan_files.is_scan(path)) == ['a.mha', 'a.nii.gz', 'ct']
