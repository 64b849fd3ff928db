"""Every runtime gives the shipped test vectors of every shipped filter."""

import hashlib

import numpy as np
import pytest

from cnn_loopfilter import artefact
from cnn_loopfilter import pretrained
from cnn_loopfilter import runtime
from cnn_loopfilter import vectors
from tests.cnn_loopfilter import interchange_runners

_each_filter = pytest.mark.parametrize('name', pretrained.names())


@_each_filter
def test_vectors_belong_to_the_shipped_filter(name):
  npz = (pretrained.folder(name) / artefact.NPZ_NAME).read_bytes()
  assert vectors.load(name).filter_sha256 == hashlib.sha256(
      npz).hexdigest(), 'run scripts/cnn_loopfilter/make_vectors.py'


@_each_filter
def test_frames_are_the_ones_that_were_filtered(name):
  found = vectors.load(name)
  for case in found.cases:
    data = found.frame(case).to_bytes()
    assert hashlib.sha256(data).hexdigest() == case.input_sha256
  shapes = {(case.width, case.height) for case in found.cases}
  assert (1, 1) in shapes and (37, 29) in shapes
  assert {case.chroma for case in found.cases} == {'400', '420', '422', '444'}


@_each_filter
@pytest.mark.parametrize('backend', runtime.BACKENDS)
def test_own_runtimes_give_the_vectors(name, backend):
  made = pretrained.load(name, backend)
  assert vectors.load(name).differing(made.filter_plane) == []


@_each_filter
def test_onnx_gives_the_vectors(name):
  assert vectors.load(name).differing(
      interchange_runners.onnx_plane(name)) == []


@_each_filter
def test_tflite_gives_the_vectors(name):
  for filter_plane in interchange_runners.tflite_planes(name):
    assert vectors.load(name).differing(filter_plane) == []


@pytest.mark.skipif(interchange_runners.COMPILER is None,
                    reason='there is no C compiler')
@_each_filter
def test_the_c_decoder_gives_the_vectors(name, tmp_path):
  program = interchange_runners.build_decoder(tmp_path / 'decoder', '-O3')
  assert vectors.load(name).differing(
      interchange_runners.c_plane(name, program)) == []


def test_one_wrong_sample_is_found():
  made = pretrained.load(backend='numpy')
  def wrong(plane, qp):
    filtered = made.filter_plane(plane, qp)
    if plane.shape == (3, 5):
      filtered[2, 4] ^= 1
    return filtered
  found = vectors.load(pretrained.DEFAULT).differing(wrong)
  assert [(case.width, case.height) for case in found] == [(5, 3)] * 2


def test_the_filter_changes_most_frames():
  found = vectors.load(pretrained.DEFAULT)
  changed = found.differing(lambda plane, qp: plane)
  assert len(changed) > 0.5 * len(found.cases)


def test_writing_again_gives_the_same_files(tmp_path):
  vectors.write(pretrained.DEFAULT, tmp_path)
  written = sorted(path.name for path in tmp_path.iterdir())
  assert f'{pretrained.DEFAULT}.json' in written
  for name in written:
    assert (tmp_path / name).read_bytes() == (
        vectors.FOLDER / name).read_bytes()


def test_contents_of_more_bits_use_them():
  layout = vectors.frames_lib.Format(9, 8, 10, '400')
  plane = vectors._made('noise', layout).planes[0]
  assert plane.max() > 900 and len(np.unique(plane % 4)) == 4
