import numpy as np
import pytest

from mtf_unet import config as config_lib
from mtf_unet import label_maps


def test_the_most_probable_class_is_taken():
  probabilities = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])
  label = label_maps.most_probable(probabilities)
  assert label.tolist() == [1, 0]
  assert label.dtype == np.uint8


def _slice(*rows):
  """Voxels of one axial slice from digits."""
  return np.array([[int(c) for c in row] for row in rows], np.uint8)[..., None]


@pytest.mark.parametrize('classes, expected', [
    ((), ['11022', '00000', '10020']),
    ((1,), ['11022', '00000', '00020']),
    ((1, 2), ['11022', '00000', '00000']),
], ids=['none', 'one class', 'two classes'])
def test_only_the_largest_component_of_the_named_classes_is_kept(classes,
                                                                 expected):
  label = _slice('11022', '00000', '10020')
  came = label_maps.keep_largest(label, classes)
  np.testing.assert_array_equal(came, _slice(*expected))
  np.testing.assert_array_equal(label, _slice('11022', '00000', '10020'))


def test_components_that_touch_at_a_corner_are_one():
  label = _slice('100', '010', '001')
  np.testing.assert_array_equal(label_maps.keep_largest(label, (1,)), label)


def test_a_class_that_is_absent_changes_nothing():
  label = _slice('202')
  np.testing.assert_array_equal(label_maps.keep_largest(label, (1,)), label)


def test_of_equal_components_the_first_is_kept():
  came = label_maps.keep_largest(_slice('101'), (1,))
  np.testing.assert_array_equal(came, _slice('100'))


def test_probabilities_become_what_the_config_wants():
  probabilities = np.eye(3)[_slice('11001')]
  config = config_lib.PredictionConfig(largest_component=(1,))
  np.testing.assert_array_equal(
      label_maps.from_probabilities(probabilities, config), _slice('11000'))
