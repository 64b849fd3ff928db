import dataclasses
import types

import numpy as np
import pytest

from mtf_unet import config as config_lib
from mtf_unet import input_pipeline
from mtf_unet import patches

_SIZE = (4, 6, 2)
_PLAIN = config_lib.AugmentationConfig(flip_axes=(), rotate_180=False)
_CONFIG = config_lib.DataConfig(size=_SIZE, patches=True, augmentation=_PLAIN,
                                foreground_share=0.5)


def _volume(shape=(20, 18, 10)):
  """Voxels that tell their place; one of class 2, a box of class 1."""
  image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape + (1,))
  label = np.zeros(shape, np.uint8)
  label[2:8, 2:9, 3:6] = 1
  label[-1, -1, -1] = 2
  return image, label


def _corners(share, count=400):
  _, label = _volume()
  return np.array([patches.corner(
      label, _SIZE, share, np.random.default_rng([1, i]))
                   for i in range(count)])


def test_patches_without_a_share_reach_every_corner_of_the_volume():
  corners = _corners(0.0)
  np.testing.assert_array_equal(corners.min(0), [0, 0, 0])
  np.testing.assert_array_equal(corners.max(0), [16, 12, 8])


def test_patches_of_the_foreground_hold_each_class_half_of_the_time():
  _, label = _volume()
  held = np.array([[c in label[x:x + 4, y:y + 6, z:z + 2] for c in (1, 2)]
                   for x, y, z in _corners(1.0)])
  assert held.any(axis=1).all()
  # A single voxel comes as often as a box of 126.
  assert 0.4 < held[:, 1].mean() < 0.6


def test_the_share_of_the_foreground_is_what_the_config_says():
  rare = (_corners(0.25) == [16, 12, 8]).all(axis=1).mean()
  assert 0.07 < rare < 0.18


def test_a_volume_without_foreground_gives_patches_anywhere():
  label = np.zeros((9, 9, 9), np.uint8)
  corners = {patches.corner(label, _SIZE, 1.0, np.random.default_rng(i))
             for i in range(50)}
  assert len(corners) > 20


def test_a_patch_is_cut_out_of_image_and_label_alike():
  image, label = _volume()
  patch, patch_label = patches.cut(image, label, _CONFIG, (0, 3))
  assert patch.shape == _SIZE + (1,)
  at = np.unravel_index(int(patch[0, 0, 0, 0]), label.shape)
  place = tuple(slice(a, a + n) for a, n in zip(at, _SIZE))
  np.testing.assert_array_equal(patch, image[place])
  np.testing.assert_array_equal(patch_label, label[place])


def test_a_margin_is_the_scan_s_own_and_zeros_beyond_it():
  image, label = _volume(_SIZE)
  image += 1
  config = dataclasses.replace(_CONFIG, patch_margin=3)
  patch, patch_label = patches.cut(image, label, config, (0, 0))
  assert patch.shape == (10, 12, 8, 1)
  assert np.count_nonzero(patch) == image.size
  inner = patches.without_margin(patch, patch_label, 3)
  np.testing.assert_array_equal(inner[0], image)
  np.testing.assert_array_equal(inner[1], label)


def _source():
  return [types.SimpleNamespace(image=image, label=label)
          for image, label in (_volume(), _volume((9, 30, 4)))]


def _batches(count, start_step=0, config=_CONFIG):
  dataset = input_pipeline.training_dataset(
      _source(), config, batch_size=2, seed=0, start_step=start_step)
  return list(dataset.take(count).as_numpy_iterator())


def test_batches_of_patches_start_again_anywhere():
  config = dataclasses.replace(
      _CONFIG, patch_margin=2, augmentation=config_lib.AugmentationConfig(
          rotation_degrees=10.0, noise_fine=0.1))
  whole, resumed = _batches(6, config=config), _batches(2, 4, config)
  for a, b in zip(whole[4:], resumed):
    assert a['image'].shape == (2,) + _SIZE + (1,)
    np.testing.assert_array_equal(a['image'], b['image'])
    np.testing.assert_array_equal(a['label'], b['label'])


def test_each_epoch_cuts_other_patches():
  images = [tuple(batch['image'][:, 0, 0, 0, 0]) for batch in _batches(8)]
  assert len(set(images)) > 4


@pytest.mark.parametrize('changes, words', [
    ({'data': {'patches': True, 'fit': 'resize'}}, 'data.patches: got True'),
    ({'data': {'patches': True}, 'network': {'dimensions': 2}},
     'False where network.dimensions is 2'),
    ({'data': {'foreground_share': 1.5}}, 'data.foreground_share: got 1.5'),
    ({'data': {'patch_margin': -1}}, 'data.patch_margin: got -1'),
], ids=['stretched', '2-D', 'share', 'margin'])
def test_settings_that_make_no_sense_are_refused(changes, words):
  with pytest.raises(ValueError, match=words):
    config_lib.from_mapping(changes)
