import json

import pytest

from mtf_unet import errors
from mtf_unet import splits

_NAMES = [f'case_{i}' for i in range(10)]


def _write(tmp_path, content):
  path = tmp_path / 'split.json'
  path.write_text(content if isinstance(content, str) else json.dumps(content))
  return path


def test_from_file_takes_case_names_and_file_names(tmp_path):
  path = _write(tmp_path, {'train': ['case_1.nii.gz', 'imagesTr/case_2.nii'],
                           'validation': ['case_0']})
  assert splits.from_file(path, _NAMES) == {
      'train': ['case_1', 'case_2'], 'validation': ['case_0']}


@pytest.mark.parametrize('content, words', [
    ('{', 'expected JSON'),
    ({'train': ['case_0']}, "'validation'"),
    ({'train': ['case_0'], 'validation': []}, '"validation" is empty'),
    ({'train': ['case_0'], 'validation': ['x']}, 'case x of "validation"'),
    ({'train': ['case_0'], 'validation': ['case_0']}, 'named twice'),
], ids=['damaged', 'part missing', 'empty', 'unknown', 'twice'])
def test_from_file_refuses(tmp_path, content, words):
  path = _write(tmp_path, content)
  with pytest.raises(errors.InputError, match=words) as caught:
    splits.from_file(path, _NAMES)
  assert str(path) in str(caught.value)


def test_by_fraction_parts_every_case_and_repeats_itself():
  parts = splits.by_fraction(_NAMES, 0.2, seed=0)
  assert len(parts['validation']) == 2
  assert sorted(parts['train'] + parts['validation']) == _NAMES
  assert parts == splits.by_fraction(_NAMES[::-1], 0.2, seed=0)
  assert parts != splits.by_fraction(_NAMES, 0.2, seed=1)


@pytest.mark.parametrize('fraction', [0.01, 0.99])
def test_by_fraction_leaves_no_part_empty(fraction):
  assert all(splits.by_fraction(_NAMES[:2], fraction, seed=0).values())


def test_by_fraction_refuses_a_single_case():
  with pytest.raises(errors.InputError, match='two or more'):
    splits.by_fraction(['only'], 0.5, seed=0)


def test_folds_hold_out_every_case_once():
  parts = [splits.fold_indices(_NAMES, k, 3, seed=0) for k in range(3)]
  held_out = sorted(i for part in parts for i in part['validation'])
  assert held_out == list(range(10))
  for part in parts:
    assert sorted(part['train'] + part['validation']) == list(range(10))


def test_more_folds_than_cases_are_refused():
  with pytest.raises(errors.InputError, match='data.folds'):
    splits.fold_indices(_NAMES, 0, 11, seed=0)
