import collections
import dataclasses
import types

import numpy as np
import pytest

from mtf_unet import config as config_lib
from mtf_unet import input_pipeline

_SIZE = (8, 10, 6)
_PLAIN = config_lib.AugmentationConfig(flip_axes=(), rotate_180=False)
_CONFIG = config_lib.DataConfig(size=_SIZE, augmentation=_PLAIN)
_BUSY = dataclasses.replace(_CONFIG, augmentation=config_lib.AugmentationConfig(
    noise_fine=0.1, noise_coarse=0.1, rotation_degrees=5.0, corruption=0.5))


def _source(count=5, channels=1):
  """Cases whose voxels tell their number."""
  return [types.SimpleNamespace(
      image=np.full(_SIZE + (channels,), i, np.float32),
      label=np.full(_SIZE, i % 3, np.uint8)) for i in range(count)]


def _take(count, config=_CONFIG, **keywords):
  keywords = {'batch_size': 2, 'seed': 0, 'start_step': 0} | keywords
  dataset = input_pipeline.training_dataset(_source(), config, **keywords)
  return list(dataset.take(count).as_numpy_iterator())


def test_elements_have_the_network_s_shapes():
  element = _take(1)[0]
  assert element['image'].shape == (2,) + _SIZE + (1,)
  assert element['image'].dtype == np.float32
  assert element['label'].shape == (2,) + _SIZE
  assert element['label'].dtype == np.uint8


@pytest.mark.parametrize('dimensions', [3, 2])
def test_starting_at_step_7_equals_skipping_7(dimensions):
  whole = _take(9, _BUSY, dimensions=dimensions)[7:]
  resumed = _take(2, _BUSY, dimensions=dimensions, start_step=7)
  for a, b in zip(whole, resumed):
    np.testing.assert_array_equal(a['image'], b['image'])
    np.testing.assert_array_equal(a['label'], b['label'])


def test_seeds_change_order_and_augmentation():
  a, b = (_take(1, _BUSY, seed=seed)[0]['image'] for seed in (0, 1))
  assert not np.array_equal(a, b)


def test_each_epoch_visits_every_case_once_in_an_order_of_its_own():
  numbers = np.concatenate(
      [element['image'][:, 0, 0, 0, 0] for element in _take(10)])
  epochs = numbers.reshape(4, 5)
  np.testing.assert_array_equal(np.sort(epochs), [range(5)] * 4)
  assert len({tuple(epoch) for epoch in epochs}) > 1


def test_a_case_is_augmented_anew_in_each_epoch():
  def first(epoch):
    order = input_pipeline.epoch_order(0, epoch, 5)
    number = epoch * 5 + int(np.argwhere(order == 0)[0, 0])
    return input_pipeline.training_example(_source(), _BUSY, number, seed=0)[0]
  assert not np.array_equal(first(0), first(1))


def test_2d_elements_are_slices_with_neighbours_as_channels():
  config = dataclasses.replace(_CONFIG, neighbor_slices=1, channels=2)
  image, label = input_pipeline.training_example(
      _source(channels=2), config, 3, seed=0, dimensions=2)
  assert image.shape == (8, 10, 6)
  assert label.shape == (8, 10)
  assert (image.shape, label.shape) == input_pipeline.example_shapes(config, 2)


def test_2d_epoch_visits_every_slice_once():
  source = _source()
  for case in source:
    case.image = case.image * 10 + np.arange(6.0, dtype=np.float32)[:, None]
  values = collections.Counter(
      float(input_pipeline.training_example(
          source, _CONFIG, k, seed=0, dimensions=2)[0][0, 0, 0])
      for k in range(30))
  assert values == {10.0 * i + z: 1 for i in range(5) for z in range(6)}


@pytest.mark.parametrize('z, expected', [
    (0, [0, 1, 2]), (3, [3, 4, 5]), (5, [5, 6, 0])], ids=str)
def test_slab_is_zero_beyond_the_volume(z, expected):
  slices = np.arange(1.0, 7.0)
  image = np.broadcast_to(slices[:, None], _SIZE + (1,))
  label = np.broadcast_to(slices.astype(np.uint8), _SIZE)
  cut, cut_label = input_pipeline.slab(image, label, z, 1)
  np.testing.assert_array_equal(cut[0, 0, :, 0], expected)
  np.testing.assert_array_equal(cut_label[0, 0], expected)


def test_evaluation_slices_are_the_training_slabs():
  rng = np.random.default_rng(0)
  image = rng.random(_SIZE + (2,), np.float32)
  label = np.zeros(_SIZE, np.uint8)
  slices = input_pipeline.evaluation_slices(image, 2)
  assert slices.shape == (6, 8, 10, 10)
  for z in range(6):
    slab, _ = input_pipeline.slab(image, label, z, 2)
    np.testing.assert_array_equal(
        slices[z], input_pipeline.slices_to_channels(slab))
