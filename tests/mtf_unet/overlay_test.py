import numpy as np
from PIL import Image
import pytest

from mtf_unet import overlay
from mtf_unet import volumes
from tests.mtf_unet import scans


def _volume(shape=(20, 24, 10), **orientation):
  image, label = scans.pair(0, shape=shape)
  return volumes.Volume(image, scans.affine(**orientation), 'a.nii'), label


def _pixels(path):
  return np.asarray(Image.open(path).convert('RGB')).astype(int)


def _colored(pixels):
  """Pixels that are not grey."""
  return (pixels.max(axis=-1) - pixels.min(axis=-1)) > 40


def test_central_slices_have_the_largest_area():
  label = np.zeros((8, 9, 10), np.uint8)
  label[3, 1:8, 6] = 1
  label[2:5, 4, 6] = 2
  assert overlay.central_slices(label) == (3, 4, 6)


def test_central_slices_of_nothing_are_the_middle():
  assert overlay.central_slices(np.zeros((8, 9, 10))) == (4, 4, 5)


def test_picture_shows_the_label_in_colour(tmp_path):
  volume, label = _volume()
  overlay.write_overlay(tmp_path / 'a.png', volume, label, num_classes=3)
  overlay.write_overlay(
      tmp_path / 'b.png', volume, np.zeros_like(label), num_classes=3)
  with_label, without = (
      _colored(_pixels(tmp_path / name)).sum() for name in ('a.png', 'b.png'))
  assert with_label > without + 1000
  assert sorted(p.name for p in tmp_path.iterdir()) == ['a.png', 'b.png']


@pytest.mark.parametrize('orientation', [
    {'axes': (1, 2, 0), 'signs': (-1, 1, 1), 'spacing_mm': (2.0, 3.0, 1.5)}],
    ids=['PSR'])
def test_orientation_of_the_file_does_not_change_the_picture(
    tmp_path, orientation):
  straight, label = _volume()
  turned = volumes.Volume(straight.array.transpose(1, 2, 0)[::-1],
                          scans.affine(**orientation), 'b.nii')
  overlay.write_overlay(tmp_path / 'a.png', straight, label, num_classes=3)
  overlay.write_overlay(
      tmp_path / 'b.png', turned, label.transpose(1, 2, 0)[::-1],
      num_classes=3)
  np.testing.assert_array_equal(
      _pixels(tmp_path / 'a.png'), _pixels(tmp_path / 'b.png'))


def test_anisotropic_voxels_keep_their_proportions(tmp_path):
  shape = (30, 30, 6)
  label = np.ones(shape, np.uint8)
  flat = volumes.Volume(np.zeros(shape, np.float32),
                        scans.affine(spacing_mm=(1.0, 1.0, 5.0)), 'a.nii')
  overlay.write_overlay(tmp_path / 'a.png', flat, label, num_classes=2)
  # The sagittal third, above the legend: 30 mm wide and 30 mm high.
  colored = _colored(_pixels(tmp_path / 'a.png'))[:-50, :480]
  width, height = (colored.any(axis=axis).sum() for axis in (0, 1))
  assert width == pytest.approx(height, rel=0.03)


def test_truth_and_channels_and_a_constant_image_are_drawn(tmp_path):
  volume, label = _volume()
  volume = volumes.Volume(
      np.zeros(label.shape + (2,), np.float32), volume.affine, 'a.nii')
  overlay.write_overlay(tmp_path / 'a.png', volume, np.zeros_like(label),
                        num_classes=3, truth=label, title='case')
  assert _pixels(tmp_path / 'a.png').shape[2] == 3
