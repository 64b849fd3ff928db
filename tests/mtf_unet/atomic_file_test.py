import errno
import json
import pathlib

import pytest

from mtf_unet import atomic_file
from mtf_unet import errors


def test_replacing_writes_the_file_and_makes_its_folder(tmp_path):
  path = tmp_path / 'new' / 'file.bin'
  with atomic_file.replacing(path) as stream:
    stream.write(b'whole')
  assert path.read_bytes() == b'whole'


def test_replacing_keeps_the_old_file_when_writing_fails(tmp_path):
  path = tmp_path / 'file.bin'
  path.write_bytes(b'old')
  with pytest.raises(OSError), atomic_file.replacing(path) as stream:
    stream.write(b'half')
    raise OSError('No space left on device')
  assert [p.name for p in tmp_path.iterdir()] == ['file.bin']
  assert path.read_bytes() == b'old'


def test_a_full_disk_is_told_with_the_file_s_name(tmp_path):
  path = tmp_path / 'file.bin'
  with pytest.raises(
      OSError, match=f"No space left on device: '{path}'"
  ), atomic_file.replacing(path):
    raise OSError(errno.ENOSPC, 'No space left on device')


@pytest.mark.parametrize('path', ['gs://bucket/a', pathlib.Path('gs://b/a')])
def test_a_bucket_is_refused_and_no_folder_of_its_name_made(path, tmp_path,
                                                            monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(errors.InputError, match='in a bucket, expected a folder'):
    atomic_file.write_json(path, {})
  assert not list(tmp_path.iterdir())


def test_write_json_refuses_nan_and_leaves_nothing(tmp_path):
  with pytest.raises(ValueError):
    atomic_file.write_json(tmp_path / 'a.json', {'dice': float('nan')})
  assert not list(tmp_path.iterdir())


def test_write_json_is_read_back(tmp_path):
  atomic_file.write_json(tmp_path / 'a.json', {'dice': None, 'n': 1})
  assert json.loads((tmp_path / 'a.json').read_text()) == {'dice': None, 'n': 1}
