import numpy as np
import pytest
import tensorflow as tf

from lamb.images import augment


def _picture(height=40, width=60):
  rows, columns = np.mgrid[:height, :width]
  return np.stack([rows * 4, columns * 4, rows * 0 + 128], -1).astype(np.uint8)


def _encoded(kind, picture):
  encode = tf.io.encode_png if kind == 'png' else tf.io.encode_jpeg
  return encode(picture)


@pytest.mark.parametrize('kind', ['png', 'jpeg'])
def test_imagenet_training_crop_is_decided_by_the_seed(kind):
  encoded = _encoded(kind, _picture())
  found = [augment.imagenet_training(encoded, seed, 16).numpy()
           for seed in ((1, 2), (1, 2), (1, 3))]
  assert found[0].shape == (16, 16, 3)
  np.testing.assert_array_equal(found[0], found[1])
  assert not np.allclose(found[0], found[2])


def test_imagenet_training_mirrors_about_half():
  encoded = _encoded('png', _picture())
  rising = sum(
      image[8, -1, 1] > image[8, 0, 1] for image in (
          augment.imagenet_training(encoded, (0, seed), 16).numpy()
          for seed in range(40)))
  assert 10 < rising < 30


@pytest.mark.parametrize('kind, tolerance', [('png', 1e-5), ('jpeg', 0.2)])
def test_imagenet_evaluation_takes_the_centre(kind, tolerance):
  picture = _picture()
  found = augment.imagenet_evaluation(_encoded(kind, picture), 35).numpy()
  # 7/8 of the shorter edge of 40 is 35: nothing is scaled.
  expected = (picture[2:37, 12:47] - np.array([123.675, 116.28, 103.53])
              ) / np.array([58.395, 57.12, 57.375])
  np.testing.assert_allclose(found, expected, atol=tolerance)


def test_cifar_training_shifts_within_four_pixels_and_greys_a_square():
  picture = _picture(32, 32)
  plain = augment.cifar_evaluation(_encoded('png', picture), 32).numpy()
  found = augment.cifar_training(_encoded('png', picture), (3, 4), 32).numpy()
  grey = (found == 0).all(-1)
  assert grey.sum() == 64
  rows, columns = np.nonzero(grey)
  assert (np.ptp(rows), np.ptp(columns)) == (7, 7)
  shift = (found[..., 0] - plain[..., 0]) / (4 / 62.99)
  assert np.abs(shift[8:24][~grey[8:24]]).max() < 4.01


def test_picture_of_another_size_is_refused_for_cifar():
  with pytest.raises((ValueError, tf.errors.InvalidArgumentError),
                     match='compatible'):
    augment.cifar_evaluation(_encoded('png', _picture()), 32)
