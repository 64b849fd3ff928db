import numpy as np
import pytest

from mtf_unet import ensembling


class _Network:
  """Answers with the image times the checkpoint's number, plus a ramp."""

  def __init__(self, ramp=0.0):
    self.restored, self._ramp = [], ramp

  def restore(self, checkpoint):
    self.restored.append(checkpoint)

  def probabilities(self, image):
    scale = float(self.restored[-1]) if self.restored else 1.0
    x = np.arange(image.shape[0], dtype=np.float32)[:, None, None, None]
    return scale * image + self._ramp * x


_IMAGE = np.random.default_rng(0).random((3, 4, 5, 1), np.float32)


@pytest.mark.parametrize('axes, count', [
    ((), 1), ((0,), 2), ((0, 2), 4), ((0, 1, 2), 8)], ids=str)
def test_all_subsets_of_the_axes_are_flipped(axes, count):
  subsets = ensembling.flip_combinations(axes)
  assert subsets[0] == ()
  assert len(set(subsets)) == count


def test_flips_are_undone_and_averaged():
  # What is bound to the grid, 0 1 2 along x, becomes its mean, 1.
  came = ensembling.FlipMean(_Network(ramp=1.0), (0, 1)).probabilities(_IMAGE)
  np.testing.assert_allclose(came, _IMAGE + 1, rtol=1e-6)


def test_checkpoints_are_averaged():
  network = _Network()
  ensemble = ensembling.Ensemble(network, ['1', '2', '6'])
  np.testing.assert_allclose(
      ensemble.probabilities(_IMAGE), 3 * _IMAGE, rtol=1e-6)
  assert network.restored == ['1', '2', '6']


def test_a_single_checkpoint_is_restored_once():
  network = _Network()
  ensemble = ensembling.Ensemble(network, ['2'])
  for _ in range(2):
    np.testing.assert_array_equal(ensemble.probabilities(_IMAGE), 2 * _IMAGE)
  assert network.restored == ['2']


def test_flips_and_checkpoints_are_averaged_together():
  network = _Network(ramp=1.0)
  ensemble = ensembling.Ensemble(ensembling.FlipMean(network, (0,)), '13')
  np.testing.assert_allclose(
      ensemble.probabilities(_IMAGE), 2 * _IMAGE + 1, rtol=1e-6)
  assert network.restored == ['1', '3']


def test_what_a_network_returns_is_not_changed():
  kept = _IMAGE.copy()
  ensembling.mean(lambda _: kept, [0, 1])
  np.testing.assert_array_equal(kept, _IMAGE)


def test_a_single_checkpoint_s_labels_are_its_network_s_own():
  network = _Network()
  network.labels = lambda image: 'labels'
  ensemble = ensembling.Ensemble(network, ['1'])
  assert ensemble.labels(_IMAGE) == 'labels'
  assert network.restored == ['1']


def test_labels_of_several_checkpoints_are_those_of_the_mean():
  # The first class is the image times 1, then times 3, in the mean times 2.
  image = np.concatenate([_IMAGE, np.ones_like(_IMAGE)], axis=-1)
  network = _Network()
  network.probabilities = lambda image: image * [
      float(network.restored[-1]), 1.0]
  came = ensembling.Ensemble(network, '13').labels(image)
  assert came.dtype == np.uint8
  np.testing.assert_array_equal(came, 2 * _IMAGE[..., 0] < 1)
