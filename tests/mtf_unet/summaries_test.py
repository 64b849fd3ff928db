import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import blocks
from mtf_unet import config as config_lib
from mtf_unet import layout
from mtf_unet import summaries


@pytest.mark.parametrize('mesh', [
    {}, {'spatial_split': (2, 2, 1)}, {'spatial_split': (1, 2, 2)},
    {'spatial_split': (2, 1, 4)},
    {'batch_split': 2, 'spatial_split': (1, 1, 2)},
], ids=str)
@pytest.mark.parametrize('volumetric', [True, False], ids=['3-D', '2-D'])
def test_middle_slice_is_that_of_the_whole_volume(mesh, volumetric):
  partition = layout.partition(config_lib.MeshConfig(**mesh))
  shape = (2, 4, 6, 8) if volumetric else (2, 4, 6)
  dims = ('batch', 'x', 'y', 'z')[:len(shape)]
  whole = np.random.default_rng(0).random(shape + (3,), np.float32)
  cut = [tf.constant(whole[place])
         for place in blocks.places(partition, dims, shape)]
  expected = whole[0, :, :, 4] if volumetric else whole[0]
  np.testing.assert_array_equal(
      summaries.middle_slice(cut, partition, volumetric), expected)


def _written(image, label, prediction):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    summaries.write({'loss': tf.constant(2.5)}, tf.constant(image),
                    tf.constant(label), tf.constant(prediction))
    merged = tf.compat.v1.Summary.FromString(
        session.run(tf.compat.v1.summary.merge_all()))
  values = {value.tag: value for value in merged.value}
  picture = values['image_truth_prediction/image/0'].image
  return values, tf.image.decode_png(picture.encoded_image_string).numpy()


def test_picture_shows_image_truth_and_prediction_beside_each_other():
  image = np.zeros((4, 6, 3), np.float32)
  # The front right corner of the patient, in the middle channel.
  image[3, 5, 1] = 7.0
  label = np.zeros((4, 6), np.uint8)
  label[0, 0] = 1
  values, picture = _written(image, label, np.full((4, 6), 2, np.int32))
  assert values['loss'].simple_value == 2.5
  assert picture.shape == (6, 12, 3)
  assert picture[0, 3].tolist() == [255, 255, 255]
  assert picture[:, :4].sum() == 3 * 255
  assert picture[5, 4].tolist() == [230, 75, 53]
  assert (picture[:, 8:] == (77, 187, 213)).all()


def test_every_class_has_a_colour_and_a_flat_image_is_black():
  label = np.arange(12, dtype=np.uint8).reshape(3, 4)
  _, picture = _written(np.full((3, 4, 1), 5.0, np.float32), label,
                        label.astype(np.int32))
  assert not picture[:, :3].any()
  truth = picture[::-1, 3:6].transpose(1, 0, 2).reshape(12, 3)
  assert not truth[0].any()
  assert truth[1:].any(-1).all()
  np.testing.assert_array_equal(truth[1], truth[7])
