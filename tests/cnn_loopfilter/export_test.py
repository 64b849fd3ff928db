import numpy as np
import pytest
import tensorflow as tf

from cnn_loopfilter import artefact
from cnn_loopfilter import errors
from cnn_loopfilter import export
from cnn_loopfilter import runtime
from tests.cnn_loopfilter import integer_filters


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
  folder = tmp_path_factory.mktemp('export') / 'filter'
  filter_ = integer_filters.random_filter()
  return folder, export.save(filter_, folder)


def test_folder_holds_what_the_format_says(exported):
  folder, _ = exported
  assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
      'filter.json', 'filter.npz', 'saved_model.pb']
  assert artefact.load(folder).vector is not None


@pytest.mark.parametrize('size', [(1, 1), (9, 14)])
def test_saved_model_gives_the_reference_bits(exported, size):
  folder, filter_ = exported
  serve = tf.saved_model.load(str(folder)).signatures['serving_default']
  rec, qp = integer_filters.random_planes(filter_, 3, *size)
  found = serve(reconstruction=tf.constant(rec), qp=tf.constant(qp))
  assert list(found) == ['filtered'] and found['filtered'].dtype == tf.int32
  np.testing.assert_array_equal(
      found['filtered'], runtime.Reference(filter_).filter_batch(rec, qp))


def test_known_answer_is_the_references_and_checks_much(exported):
  _, filter_ = exported
  vector = filter_.vector
  reference = runtime.Reference(filter_)
  np.testing.assert_array_equal(
      vector.filtered, reference.filter_batch(vector.reconstruction,
                                              vector.qp))
  assert (vector.filtered != vector.reconstruction).mean() > 0.5


def test_folder_in_use_is_left_alone(exported):
  folder, filter_ = exported
  before = sorted(folder.iterdir())
  with pytest.raises(errors.InputError, match='exists already'):
    export.save(filter_, folder)
  assert sorted(folder.iterdir()) == before


def test_failed_export_leaves_nothing(tmp_path, monkeypatch):
  def fail(*arguments, **keywords):
    raise OSError('disk full')
  monkeypatch.setattr(artefact, 'save', fail)
  with pytest.raises(OSError, match='disk full'):
    export.save(integer_filters.random_filter(), tmp_path / 'filter')
  assert not list(tmp_path.iterdir())


def test_table_tells_how_each_layer_runs(exported):
  lines = export.format_table(exported[1]).splitlines()
  assert len(lines) == 2 + 3
  assert all('float32' in line for line in lines[2:])
