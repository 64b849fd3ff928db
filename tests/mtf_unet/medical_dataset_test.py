import dataclasses
import json

import numpy as np
import pytest

from mtf_unet import case_source
from mtf_unet import config as config_lib
from mtf_unet import errors
from mtf_unet import medical_dataset
from tests.mtf_unet import scans

_CONFIG = config_lib.DataConfig(size=(16, 16, 16), validation_fraction=0.25)


def _prepare(tmp_path, config=_CONFIG, **keywords):
  return medical_dataset.prepare(
      tmp_path / 'raw', tmp_path / 'data', config, **keywords)


@pytest.mark.parametrize('make, training', [
    (scans.decathlon, 3), (scans.lits, 2),
    (lambda raw: scans.records(raw / 'a.tfrecord'), 2),
], ids=['decathlon', 'lits', 'records'])
def test_every_layout_is_prepared(tmp_path, make, training):
  make(tmp_path / 'raw')
  assert _prepare(tmp_path) == {'train': training, 'validation': 1}


def test_split_json_of_the_folder_is_followed(tmp_path):
  raw = scans.decathlon(tmp_path / 'raw')
  (raw / 'split.json').write_text(json.dumps({
      'train': ['case_03.nii.gz'],
      'validation': ['case_00.nii.gz', 'case_01.nii.gz']}))
  assert _prepare(tmp_path) == {'train': 1, 'validation': 2}
  source = case_source.open_split(tmp_path / 'data', _CONFIG, 'train')
  assert source[0].name == 'case_03'


def test_a_given_split_file_goes_first(tmp_path):
  raw = scans.decathlon(tmp_path / 'raw')
  (raw / 'split.json').write_text('damaged')
  other = tmp_path / 'other.json'
  other.write_text(json.dumps({'train': ['case_00'],
                               'validation': ['case_01']}))
  assert _prepare(tmp_path, split_file=str(other)) == {
      'train': 1, 'validation': 1}


def test_progress_is_told_after_each_case(tmp_path):
  scans.decathlon(tmp_path / 'raw')
  told = []
  _prepare(tmp_path, on_case=lambda *state: told.append(state))
  assert [done for done, _, _ in told] == [1, 2, 3, 4]
  assert {total for _, total, _ in told} == {4}
  assert {name for _, _, name in told} == {f'case_0{i}' for i in range(4)}


def test_preparing_again_does_nothing(tmp_path):
  scans.decathlon(tmp_path / 'raw')
  counts = _prepare(tmp_path)
  scans.truncate(tmp_path / 'raw' / 'imagesTr' / 'case_00.nii.gz')
  assert _prepare(tmp_path) == counts


def test_preparing_with_other_settings_is_refused(tmp_path):
  scans.decathlon(tmp_path / 'raw')
  _prepare(tmp_path)
  with pytest.raises(errors.InputError, match='data.spacing_mm'):
    _prepare(tmp_path, dataclasses.replace(_CONFIG, spacing_mm=(2., 2., 2.)))


def test_a_bad_file_leaves_nothing_behind(tmp_path):
  raw = scans.decathlon(tmp_path / 'raw')
  scans.truncate(raw / 'imagesTr' / 'case_03.nii.gz')
  with pytest.raises(errors.InputError, match='case_03.nii.gz') as caught:
    _prepare(tmp_path)
  assert '\n' not in str(caught.value)
  left = [path for path in (tmp_path / 'data').rglob('*') if path.is_file()]
  assert not left
  assert not medical_dataset.prepared_folder(tmp_path / 'data').exists()


def test_a_full_disk_is_told_as_such(tmp_path, monkeypatch):
  scans.decathlon(tmp_path / 'raw')

  class FullDisk:
    def __init__(self, *_):
      pass

    def write(self, _):
      raise RuntimeError('write() failed: No space left on device')
  monkeypatch.setattr(medical_dataset.tfds.core.file_adapters
                      .array_record_module, 'ArrayRecordWriter', FullDisk)
  with pytest.raises(OSError, match='No space left on device'):
    _prepare(tmp_path)
  assert not medical_dataset.prepared_folder(tmp_path / 'data').exists()


def test_largest_grid_is_over_all_cases(tmp_path):
  raw = tmp_path / 'raw'
  for i, shape in enumerate([(9, 14, 8), (12, 9, 9)]):
    image, label = scans.pair(i, shape=shape)
    scans.write(raw / f'volume-{i}.nii', image)
    scans.write(raw / f'segmentation-{i}.nii', label)
  _prepare(tmp_path)
  metadata = medical_dataset.check_settings(tmp_path / 'data', _CONFIG)
  assert metadata['largest_grid'] == [12, 14, 9]


def test_several_channels_are_kept(tmp_path):
  raw = tmp_path / 'raw'
  for i in range(2):
    image, label = scans.pair(i)
    scans.write(raw / f'volume-{i}.nii', np.stack([image, -image], axis=-1))
    scans.write(raw / f'segmentation-{i}.nii', label)
  config = dataclasses.replace(_CONFIG, channels=2)
  _prepare(tmp_path, config)
  case = case_source.open_split(tmp_path / 'data', config, 'train')[0]
  np.testing.assert_allclose(
      case.image[..., 0], -case.image[..., 1], atol=1e-5)
