import gzip

import pytest

from lamb import errors
from lamb.bert import text_files


def _write(folder, content, name='text.txt'):
  path = folder / name
  path.write_bytes(content)
  return str(path)


def _documents(paths, **options):
  return [document for chunk in text_files.chunks(paths, **options)
          for document in chunk]


def test_empty_lines_and_ends_of_files_divide_documents(tmp_path):
  first = _write(tmp_path, b'\n a b \nc\r\n\n\n \nd', 'first.txt')
  second = _write(tmp_path, 'é\n'.encode(), 'second.txt')
  assert _documents([first, second]) == [['a b', 'c'], ['d'], ['é']]


def test_compressed_text_is_the_same_text(tmp_path):
  path = _write(tmp_path, gzip.compress(b'a\n\nb\n'), 'text.txt.gz')
  assert _documents([path]) == [['a'], ['b']]


def test_chunks_are_full_and_long_documents_are_divided(tmp_path):
  path = _write(tmp_path, b'aaaa\n' * 5 + b'\n' + b'bb\n\n' * 4)
  found = list(text_files.chunks([path], chunk_bytes=8))
  assert found == [[['aaaa'] * 2], [['aaaa'] * 2],
                   [['aaaa'], ['bb'], ['bb']], [['bb'], ['bb']]]


def test_progress_ends_at_all_bytes(tmp_path):
  seen = []
  path = _write(tmp_path, b'aaaa\n\n' * 5)
  _documents([path], chunk_bytes=8,
             progress=lambda done, total: seen.append((done, total)))
  assert seen[-1] == (30, 30)
  assert sorted(seen) == seen


@pytest.mark.parametrize('content, name, message', [
    pytest.param(b'good\n\xff\xfe\n', 'a.txt', 'line 2 is not UTF-8',
                 id='encoding'),
    pytest.param(b'a\0b\n', 'a.txt', 'line 1 holds a zero byte', id='zero'),
    pytest.param(b'a' * (1 << 20), 'a.txt', 'longer than 1048576', id='long'),
    pytest.param(b'no gzip', 'a.gz', 'damaged after line 0', id='no_gzip'),
    pytest.param(gzip.compress(b'a\n' * 999)[:-9], 'a.gz', 'damaged after',
                 id='cut_gzip'),
])
def test_what_is_no_text_is_refused(tmp_path, content, name, message):
  path = _write(tmp_path, content, name)
  with pytest.raises(errors.InputError, match=message) as caught:
    _documents([path])
  assert path in str(caught.value)
