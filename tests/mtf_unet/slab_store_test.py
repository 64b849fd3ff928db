import collections
import errno
import shutil
import types

import ml_dtypes
import numpy as np
import pytest

from mtf_unet import errors
from mtf_unet import slab_store


@pytest.fixture(name='file')
def _file(tmp_path):
  with slab_store.scratch_file(str(tmp_path), 0) as file:
    yield file


def _slab(slices, seed=0, dtype=np.float32):
  return np.random.default_rng(seed).random((slices, 2, 3, 4)).astype(dtype)


@pytest.fixture(name='store', params=['memory', 'file'])
def _store(request, file):
  return slab_store.Memory() if request.param == 'memory' else file


@pytest.mark.parametrize('counts', [(9,), (1,) * 9, (2, 5, 2), (4, 5)], ids=str)
def test_slices_come_back_in_order_however_they_are_taken(store, counts):
  parts = [_slab(n, n) for n in (3, 1, 5)]
  queue = slab_store.Queue(store)
  for part in parts:
    queue.put(part)
  came = [queue.take(count) for count in counts]
  assert tuple(map(len, came)) == counts
  np.testing.assert_array_equal(np.concatenate(came), np.concatenate(parts))


def test_a_queue_drains_slab_by_slab(store):
  queue = slab_store.Queue(store)
  for slices in (3, 2):
    queue.put(_slab(slices))
  queue.take(1)
  assert list(map(len, queue.drain())) == [2, 2]
  assert not list(queue.drain())


@pytest.mark.parametrize('dtype', [np.float32, ml_dtypes.bfloat16])
def test_a_file_gives_back_what_was_put(file, dtype):
  slab = _slab(2, dtype=dtype)
  came = file.take(file.put(slab.swapaxes(1, 2)))
  assert came.dtype == dtype
  np.testing.assert_array_equal(came, slab.swapaxes(1, 2))


def test_what_was_taken_makes_room_for_what_is_put(file):
  waiting = collections.deque(file.put(_slab(2, k)) for k in range(5))
  full = file.size
  for k in range(5, 40):
    np.testing.assert_array_equal(file.take(waiting.popleft()),
                                  _slab(2, k - 5))
    waiting.append(file.put(_slab(2, k)))
  assert file.size == full == 5 * _slab(2).nbytes


def test_gaps_that_touch_become_one(file):
  places = [file.put(_slab(1)) for _ in range(4)]
  for index in (0, 2, 1):
    file.take(places[index])
  file.put(_slab(3, 7))
  assert file.size == 4 * _slab(1).nbytes
  np.testing.assert_array_equal(file.take(places[3]), _slab(1))


def test_the_file_has_no_name(file, tmp_path):
  file.put(_slab(3))
  assert not list(tmp_path.iterdir())


def test_too_little_room_is_told_before_the_work(tmp_path, monkeypatch):
  monkeypatch.setattr(shutil, 'disk_usage', lambda folder: collections.
                      namedtuple('Usage', 'free')(2**30))
  with slab_store.scratch_file(str(tmp_path), 2**30):
    pass
  with pytest.raises(
      errors.InputError, match='1.0 GiB are free, expected 3.0 GiB') as told, (
          slab_store.scratch_file(str(tmp_path), 3 * 2**30)):
    pass
  assert str(tmp_path) in str(told.value)


def test_a_folder_that_is_missing_is_named(tmp_path):
  with pytest.raises(errors.InputError, match='absent: missing or not'), (
      slab_store.scratch_file(str(tmp_path / 'absent'), 0)):
    pass


def test_a_disk_that_fills_up_is_told():
  def write(content):
    raise OSError(errno.ENOSPC, 'No space left on device')
  full = slab_store.File(types.SimpleNamespace(
      seek=lambda place: None, write=write), 'scratch')
  with pytest.raises(errors.InputError,
                     match='^scratch: .*No space left .*more room'):
    full.put(_slab(1))
