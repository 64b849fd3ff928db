import dataclasses
import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from cnn_loopfilter import artefact
from cnn_loopfilter import errors
from tests.cnn_loopfilter import integer_filters


@pytest.fixture
def folder(tmp_path):
  artefact.save(integer_filters.random_filter(with_vector=True), tmp_path)
  return tmp_path


def _forge(folder, content):
  """Replaces filter.npz and puts its checksum right."""
  (folder / 'filter.npz').write_bytes(content)
  _tell(folder, sha256={'filter.npz': hashlib.sha256(content).hexdigest()})


def _tell(folder, **changes):
  told = json.loads((folder / 'filter.json').read_text())
  (folder / 'filter.json').write_text(json.dumps(told | changes))


def _npz(folder, **changes):
  arrays = dict(np.load(folder / 'filter.npz', allow_pickle=False)) | changes
  content = io.BytesIO()
  np.savez(content, **arrays)
  return content.getvalue()


def test_what_was_saved_is_loaded(folder):
  saved = integer_filters.random_filter(with_vector=True)
  loaded = artefact.load(folder)
  assert loaded.depth == saved.depth
  assert loaded.description == {'seed': 0}
  for a, b in zip(saved.layers, loaded.layers):
    for x, y in zip(dataclasses.astuple(a), dataclasses.astuple(b)):
      np.testing.assert_array_equal(x, y)
  np.testing.assert_array_equal(saved.vector.filtered, loaded.vector.filtered)


def test_saving_twice_gives_the_same_bytes(folder, tmp_path_factory):
  other = tmp_path_factory.mktemp('other')
  artefact.save(artefact.load(folder), other)
  for name in ('filter.npz', 'filter.json'):
    assert (other / name).read_bytes() == (folder / name).read_bytes()


def test_arrays_are_as_small_as_their_bits(folder):
  arrays = np.load(folder / 'filter.npz', allow_pickle=False)
  assert arrays['weights_0'].dtype == np.int8
  assert arrays['biases_0'].dtype == np.int16


def test_damaged_file_is_refused(folder):
  content = bytearray((folder / 'filter.npz').read_bytes())
  content[200] ^= 1
  (folder / 'filter.npz').write_bytes(content)
  with pytest.raises(errors.InputError, match='checksum differs'):
    artefact.load(folder)


def test_changed_saved_model_is_refused(tmp_path):
  (tmp_path / 'saved_model.pb').write_bytes(b'graph')
  artefact.save(integer_filters.random_filter(), tmp_path,
                others=['saved_model.pb'])
  artefact.load(tmp_path)
  (tmp_path / 'saved_model.pb').write_bytes(b'grapH')
  with pytest.raises(errors.InputError, match='saved_model.pb: its checksum'):
    artefact.load(tmp_path)
  # A decoder without TensorFlow may leave it out.
  (tmp_path / 'saved_model.pb').unlink()
  artefact.load(tmp_path)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'version': 2}, 'got version 2, expected 1'),
    ({'format': 'other'}, 'expected "format"'),
    ({'depth': 10}, 'different filters'),
    ({'description': []}, 'expected "description"'),
    ({'sha256': {'../x': '', 'filter.npz': ''}}, "'../x', expected one inside"),
    ({'sha256': {'/x': '', 'filter.npz': ''}}, 'expected one inside'),
    ({'sha256': {'a' * 99: '', 'filter.npz': ''}}, 'expected one inside'),
    ({'sha256': {'\0': '', 'filter.npz': ''}}, 'expected one inside'),
    ({'sha256': {'.': '', 'filter.npz': ''}}, 'no such file'),
    ({'sha256': dict.fromkeys(
        ['filter.npz', *map(str, range(16))], '')}, '17 files, expected at'),
], ids=['version', 'format', 'depth', 'description', 'outside', 'absolute',
        'long', 'zero', 'folder', 'many'])
def test_json_that_does_not_fit_is_refused(folder, changes, message):
  _tell(folder, **changes)
  with pytest.raises(errors.InputError, match=message):
    artefact.load(folder)


def test_missing_and_broken_json_are_refused(folder, tmp_path):
  (folder / 'filter.json').write_text('{')
  with pytest.raises(errors.InputError, match='not JSON'):
    artefact.load(folder)
  with pytest.raises(errors.InputError, match='no such file'):
    artefact.load(tmp_path / 'none')


def test_deeply_nested_json_is_refused(folder):
  text = (folder / 'filter.json').read_text()
  for depth in (900, 100_000):
    (folder / 'filter.json').write_text(text.replace(
        '"seed": 0', '"seed": ' + '[' * depth + ']' * depth))
    try:
      artefact.load(folder)
    except errors.InputError as error:
      assert 'not JSON' in str(error)


def test_json_that_is_too_long_is_refused(folder):
  with open(folder / 'filter.json', 'a') as stream:
    stream.write(' ' * 2 ** 20)
  with pytest.raises(errors.InputError, match='at most 1048576 bytes'):
    artefact.load(folder)


def test_truncated_npz_is_refused(folder):
  _forge(folder, (folder / 'filter.npz').read_bytes()[:-400])
  with pytest.raises(errors.InputError, match='filter.npz'):
    artefact.load(folder)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'version': np.int32(7)}, 'got version 7'),
    ({'depth': np.int32(3)}, 'depth: got 3'),
    ({'formats': np.zeros([3, 2], np.int32)}, 'formats: got'),
    ({'weights_0': np.zeros([3, 3, 2, 5], np.int8)}, 'layer'),
    ({'weights_0': np.zeros([3, 3, 2, 12])}, 'little-endian integers'),
    ({'vector_qp': np.array(['x'])}, 'little-endian integers'),
    ({'vector_qp': np.int32([[1, 2]])}, 'vector_qp: missing, or not of 1'),
    ({'vector_qp': np.int32([1])}, r'qp: got int32 \[1\], expected'),
    ({'vector_qp': np.int32([1, 64])}, 'qp: got 1 to 64'),
    ({'vector_residual': np.zeros([2, 9, 13, 1], np.int32)}, 'three times'),
    ({'vector_reconstruction': np.full([2, 9, 14, 1], 256, np.int32)},
     'got samples of 256 to 256'),
    ({'version': np.int32([1])}, 'version: missing, or not of 0 axes'),
], ids=['version', 'depth', 'formats', 'shape', 'float', 'text', 'qp_axes',
        'qp_count', 'qp_range', 'residual', 'samples', 'axes'])
def test_npz_that_does_not_fit_is_refused(folder, changes, message):
  _forge(folder, _npz(folder, **changes))
  with pytest.raises(errors.InputError, match=message):
    artefact.load(folder)


def test_relu_of_another_number_is_refused(folder):
  formats = np.load(folder / 'filter.npz')['formats']
  formats[1, 6] = 2
  _forge(folder, _npz(folder, formats=formats))
  with pytest.raises(errors.InputError, match='layer 1: got relu 2'):
    artefact.load(folder)


def test_packed_npz_is_refused(folder):
  content = io.BytesIO()
  np.savez_compressed(content, **np.load(folder / 'filter.npz'))
  _forge(folder, content.getvalue())
  with pytest.raises(errors.InputError, match='packed, expected them stored'):
    artefact.load(folder)


def test_missing_array_is_refused(folder):
  content = io.BytesIO()
  with zipfile.ZipFile(folder / 'filter.npz') as source, zipfile.ZipFile(
      content, 'w') as target:
    for info in source.infolist():
      if info.filename != 'biases_1.npy':
        target.writestr(info, source.read(info))
  _forge(folder, content.getvalue())
  with pytest.raises(errors.InputError, match='biases_1'):
    artefact.load(folder)


def test_huge_header_takes_no_memory(folder):
  header = io.BytesIO()
  np.lib.format.write_array_header_1_0(header, {
      'descr': '<i4', 'fortran_order': False, 'shape': (2 ** 40,)})
  content = io.BytesIO()
  with zipfile.ZipFile(folder / 'filter.npz') as source, zipfile.ZipFile(
      content, 'w') as target:
    for info in source.infolist():
      forged = info.filename == 'formats.npy'
      target.writestr(info.filename, header.getvalue() if forged
                      else source.read(info))
  _forge(folder, content.getvalue())
  with pytest.raises(errors.InputError, match='do not fit'):
    artefact.load(folder)


def test_pickled_array_is_refused(folder):
  content = io.BytesIO()
  np.savez(content, version=np.array([{}], object))
  _forge(folder, content.getvalue())
  with pytest.raises(errors.InputError, match='little-endian integers'):
    artefact.load(folder)
