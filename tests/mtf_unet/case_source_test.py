import dataclasses

import numpy as np
import pytest

from mtf_unet import case_source
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import medical_dataset
from mtf_unet import raw_folders
from tests.mtf_unet import grids
from tests.mtf_unet import scans

_CONFIG = config_lib.DataConfig(size=(16, 16, 16), validation_fraction=0.25)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  root = tmp_path_factory.mktemp('cases')
  scans.decathlon(root / 'raw', count=6)
  medical_dataset.prepare(root / 'raw', root / 'data', _CONFIG)
  return root / 'raw', root / 'data'


def _names(folders, split, **changes):
  source = case_source.open_split(
      folders[1], dataclasses.replace(_CONFIG, **changes), split)
  return {source[i].name for i in range(len(source))}


def test_a_case_is_what_the_file_gives_in_prediction(folders):
  raw, data = folders
  source = case_source.open_split(data, _CONFIG, 'train')
  case = source[0]
  raw_case = next(c for c in raw_folders.find_cases(raw)
                  if c.name == case.name)
  scan, truth = raw_folders.read_case(raw_case, 3)
  image, geometry = grids.network_image(scan, _CONFIG)
  np.testing.assert_array_equal(case.image, image)
  np.testing.assert_array_equal(case.native_label, truth.array)
  assert case.geometry == geometry
  np.testing.assert_array_equal(
      grids.native_label(case.label, case.geometry), truth.array)


def test_volumes_larger_than_a_patch_stay_whole(folders):
  config = dataclasses.replace(_CONFIG, size=(4, 16, 8), patches=True)
  whole = case_source.open_split(folders[1], _CONFIG, 'train')[0]
  case = case_source.open_split(folders[1], config, 'train')[0]
  # 10 x 12 x 8 voxels; only y is padded.
  assert case.image.shape == (10, 16, 8, 1)
  assert case.label.shape == (10, 16, 8)
  np.testing.assert_array_equal(
      grids.native_label(case.label, case.geometry),
      whole.native_label)


def test_volumes_larger_than_the_network_are_refused_without_patches(folders):
  with pytest.raises(errors.InputError, match='largest volume'):
    case_source.open_split(
        folders[1], dataclasses.replace(_CONFIG, size=(4, 16, 8)), 'train')


def test_splits_part_the_cases(folders):
  training, validation = (
      _names(folders, split) for split in ('train', 'validation'))
  assert len(training) == 4
  assert len(validation) == 2
  assert not training & validation


def test_folds_leave_the_validation_cases_alone(folders):
  training = _names(folders, 'train')
  held_out = [_names(folders, 'validation', folds=2, fold=k) for k in (0, 1)]
  assert held_out[0] | held_out[1] == training
  assert not held_out[0] & held_out[1]
  assert _names(folders, 'train', folds=2, fold=0) == held_out[1]


@pytest.mark.parametrize('cache', [True, False])
def test_cases_are_kept_in_memory_when_asked(folders, cache):
  config = dataclasses.replace(_CONFIG, cache=cache)
  source = case_source.open_split(folders[1], config, 'train')
  assert (source[1] is source[1]) == cache
  np.testing.assert_array_equal(source[1].image, source[1].image)


def test_an_index_beyond_the_end_raises(folders):
  source = case_source.open_split(folders[1], _CONFIG, 'validation')
  with pytest.raises(IndexError):
    source[2]


@pytest.mark.parametrize('changes, words', [
    ({'num_classes': 4}, 'data.num_classes=3, expected 4'),
    ({'channels': 2}, 'data.channels=1, expected 2'),
    ({'spacing_mm': (1.0, 1.0, 1.0)}, 'data.spacing_mm=None'),
    ({'fit': 'resize'}, "data.fit=pad, expected resize"),
    ({'size': (8, 16, 16)}, r'10x12x8 voxels do not fit the size 8x16x16'),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else '')
def test_other_settings_are_refused_by_key(folders, changes, words):
  with pytest.raises(errors.InputError, match=words) as caught:
    _names(folders, 'train', **changes)
  assert str(folders[1]) in str(caught.value)


def test_a_folder_that_was_not_prepared_names_the_command(tmp_path):
  with pytest.raises(errors.InputError, match='prepare_volumes.py'):
    case_source.open_split(tmp_path, _CONFIG, 'train')


def test_an_unknown_split_is_refused(folders):
  with pytest.raises(errors.InputError, match="'test'"):
    case_source.open_split(folders[1], _CONFIG, 'test')


@pytest.mark.parametrize('changes, key', [
    ({'folds': 1}, 'data.folds'), ({'folds': 3, 'fold': 3}, 'data.fold'),
    ({'fit': 'resize', 'spacing_mm': (1.0, 1.0, 1.0)}, 'data.spacing_mm')],
    ids=['one fold', 'fold beyond the last', 'two ways to resample'])
def test_settings_that_contradict_are_refused(changes, key):
  with pytest.raises(errors.InputError, match=key):
    dataclasses.replace(_CONFIG, **changes)
