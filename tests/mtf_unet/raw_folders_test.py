import json
import pathlib

import numpy as np
import pytest
import SimpleITK as sitk

from mtf_unet import dicom_series
from mtf_unet import errors
from mtf_unet import raw_folders
from tests.mtf_unet import dicom
from tests.mtf_unet import scans

_SHARED = pathlib.Path(__file__).parents[3] / 'shared/data/volumes'


def _names(folder):
  return [case.name for case in raw_folders.find_cases(folder)]


def _error(folder):
  with pytest.raises(errors.InputError) as caught:
    raw_folders.find_cases(folder)
  assert '\n' not in str(caught.value)
  return str(caught.value)


@pytest.mark.parametrize('with_description', [True, False])
def test_decathlon_cases_are_found(tmp_path, with_description):
  scans.decathlon(tmp_path, with_description=with_description)
  assert _names(tmp_path) == ['case_00', 'case_01', 'case_02', 'case_03']


def test_files_that_macos_leaves_behind_do_not_count(tmp_path):
  scans.decathlon(tmp_path, with_description=False)
  (tmp_path / 'imagesTr' / '._case_00.nii.gz').write_bytes(b'junk')
  assert len(_names(tmp_path)) == 4


def test_lits_cases_are_found_whatever_the_ending(tmp_path):
  scans.lits(tmp_path)
  cases = raw_folders.find_cases(tmp_path)
  assert [case.name for case in cases] == ['volume-0', 'volume-1', 'volume-2']
  assert cases[1].label.name == 'segmentation-1.nii.gz'


def test_record_cases_are_found_and_read(tmp_path):
  cubes = scans.records(tmp_path / 'a.tfrecord-00000-of-00001')
  cases = raw_folders.find_cases(tmp_path)
  image, label = raw_folders.read_case(cases[2], 3)
  assert len(cases) == 3
  np.testing.assert_array_equal(image.array, cubes[2][0])
  assert label.array.dtype == np.uint8


@pytest.mark.parametrize('make', [scans.decathlon, scans.lits],
                         ids=['decathlon', 'lits'])
def test_a_missing_label_is_named(tmp_path, make):
  make(tmp_path)
  label = raw_folders.find_cases(tmp_path)[0].label
  label.unlink()
  message = _error(tmp_path)
  assert 'missing label file' in message
  assert label.name.split('.')[0] in message


def test_a_missing_image_is_named(tmp_path):
  scans.decathlon(tmp_path)
  (tmp_path / 'imagesTr' / 'case_02.nii.gz').unlink()
  assert 'case_02.nii.gz: missing image file' in _error(tmp_path)


def test_an_empty_folder_is_told_what_is_expected(tmp_path):
  assert 'no cases found, expected dataset.json' in _error(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
  assert 'no such folder' in _error(tmp_path / 'none')


@pytest.mark.parametrize('text', ['{', '[]', '{"training": [1]}', '{}'])
def test_a_damaged_description_is_named(tmp_path, text):
  (tmp_path / 'dataset.json').write_text(text)
  assert 'dataset.json: expected JSON' in _error(tmp_path)


def test_one_name_twice_is_refused(tmp_path):
  scans.lits(tmp_path)
  image, _ = scans.pair(0)
  scans.write(tmp_path / 'volume-1.nii.gz', image)
  assert 'case volume-1 exists twice' in _error(tmp_path)


def _spoilt(tmp_path, change):
  scans.decathlon(tmp_path)
  change(tmp_path)
  case = raw_folders.find_cases(tmp_path)[1]
  with pytest.raises(errors.InputError) as caught:
    raw_folders.read_case(case, 3)
  return str(caught.value)


def _label_of_other_shape(folder):
  scans.write(folder / 'labelsTr' / 'case_01.nii.gz',
              np.zeros((10, 12, 9), np.uint8))


def _label_of_other_affine(folder):
  scans.write(folder / 'labelsTr' / 'case_01.nii.gz', scans.pair(1)[1],
              scans.affine(signs=(1, -1, 1)))


def _label_not_whole(folder):
  scans.write(folder / 'labelsTr' / 'case_01.nii.gz',
              np.full((10, 12, 8), 0.5, np.float32))


def _image_not_finite(folder):
  scans.write(folder / 'imagesTr' / 'case_01.nii.gz',
              np.full((10, 12, 8), np.nan, np.float32))


def _image_cut_off(folder):
  scans.truncate(folder / 'imagesTr' / 'case_01.nii.gz')


@pytest.mark.parametrize('change, words', [
    (_label_of_other_shape, 'label of shape'),
    (_label_of_other_affine, 'affine'),
    (_label_not_whole, 'label 0.5'),
    (_image_not_finite, 'NaN'),
    (_image_cut_off, 'truncated'),
])
def test_read_case_names_the_bad_file(tmp_path, change, words):
  message = _spoilt(tmp_path, change)
  assert words in message
  assert 'case_01.nii.gz' in message


@pytest.mark.parametrize('value, words', [
    (np.nan, 'expected whole numbers'), (7, 'label 7.0')], ids=str)
def test_read_case_names_the_bad_record(tmp_path, value, words):
  image, label = scans.pair(0, shape=(6, 6, 6))
  label = label.astype(np.float32)
  label[0, 0, 0] = value
  path = tmp_path / 'a.tfrecord'
  with scans.tf.io.TFRecordWriter(str(path), options='GZIP') as writer:
    writer.write(scans.example(image, label).SerializeToString())
  with pytest.raises(errors.InputError, match=words) as caught:
    raw_folders.read_case(raw_folders.find_cases(tmp_path)[0], 3)
  assert 'a.tfrecord, record 0' in str(caught.value)


def _modalities(folder, count=3):
  """Cases of two modalities, as nnU-Net has them; labels tell the names."""
  for i in range(count):
    image, label = scans.pair(i)
    for number in range(2):
      scans.write(folder / 'imagesTr' / f'case_{i}_{number:04d}.nii.gz',
                  image * (number + 1))
    scans.write(folder / 'labelsTr' / f'case_{i}.nii.gz', label)
  return folder


@pytest.mark.parametrize('description', [
    None, {'file_ending': '.nii.gz', 'channel_names': {'0': 'T1', '1': 'T2'}},
    {'training': [{'image': f'./imagesTr/case_{i}.nii.gz',
                   'label': f'./labelsTr/case_{i}.nii.gz'} for i in range(3)]},
], ids=['names alone', "nnU-Net's second version", 'its first version'])
def test_one_file_for_each_modality_is_one_case(tmp_path, description):
  _modalities(tmp_path)
  if description:
    (tmp_path / 'dataset.json').write_text(json.dumps(description))
  assert _names(tmp_path) == ['case_0', 'case_1', 'case_2']
  image, _ = raw_folders.read_case(raw_folders.find_cases(tmp_path)[1], 3)
  np.testing.assert_allclose(image.array[..., 1], 2 * image.array[..., 0])


def test_a_label_that_is_stored_turned_lies_on_its_image(tmp_path):
  scans.decathlon(tmp_path)
  case = raw_folders.find_cases(tmp_path)[1]
  _, truth = raw_folders.read_case(case, 3)
  turned = truth.affine.copy()
  turned[:, 1] *= -1
  turned[:, 3] += truth.affine[:, 1] * (truth.array.shape[1] - 1)
  scans.write(case.label, truth.array[:, ::-1], turned)
  _, read = raw_folders.read_case(case, 3)
  np.testing.assert_array_equal(read.array, truth.array)


@pytest.mark.skipif(not _SHARED.is_dir(), reason='the shared data is not here')
def test_a_real_series_and_its_segmentation_are_one_case():
  folder = _SHARED / 'totalsegmentator_ct_dicom'
  image, label = raw_folders.read_case(raw_folders.RawCase(
      'ct', (folder,), folder / 'seg117_pseudo.nii.gz'), 118)
  assert image.array.shape == label.array.shape == (512, 512, 20)
  # The liver, class 5, is warmer than the air around the patient.
  assert image.array[label.array == 5].mean() > 0


def test_a_missing_modality_is_named(tmp_path):
  _modalities(tmp_path)
  (tmp_path / 'imagesTr' / 'case_1_0000.nii.gz').unlink()
  assert 'no file case_1_0000' in _error(tmp_path)


def test_names_that_end_in_four_digits_are_cases_where_labels_say_so(tmp_path):
  for i in range(2):
    image, label = scans.pair(i)
    scans.write(tmp_path / 'imagesTr' / f'case_{i:04d}.nii.gz', image)
    scans.write(tmp_path / 'labelsTr' / f'case_{i:04d}.nii.gz', label)
  assert _names(tmp_path) == ['case_0000', 'case_0001']


@pytest.mark.parametrize('image, label', [
    ('imagesTr/{}', 'labelsTr/{}'), ('volume-{}', 'segmentation-{}')],
    ids=['decathlon', 'lits'])
def test_cases_may_be_folders_of_dicom_with_labels_of_any_format(
    tmp_path, image, label):
  array = np.random.default_rng(0).integers(-900, 900, (6, 5, 4))
  for name in '01':
    folder = dicom.write_series(tmp_path / image.format(name), array)
    scan = dicom_series.read(folder)
    labels = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(
        str(folder))) > 0
    path = tmp_path / f'{label.format(name)}.mha'
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(labels, str(path))
  cases = raw_folders.find_cases(tmp_path)
  read, truth = raw_folders.read_case(cases[1], 2)
  np.testing.assert_array_equal(read.array, array)
  np.testing.assert_array_equal(truth.array, array > 0)
  np.testing.assert_allclose(read.affine, scan.affine)
