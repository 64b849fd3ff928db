import pytest

from mtf_unet import architecture
from mtf_unet import config as config_lib
from mtf_unet import slab_network

_SIZE = (8, 4, 2)
_LAYERS = architecture.layers(config_lib.NetworkConfig(
    base_filters=3, levels=2, convolutions_per_level=1), 1, 5)


def test_an_activation_a_level_waits():
  # 64 voxels of 3 channels and 8 of 6, of 2 bytes each.
  assert slab_network.waiting_bytes(_LAYERS, _SIZE, 2) == 2 * (64 * 3 + 8 * 6)


def test_work_is_counted_in_multiplications():
  shares = []
  work = slab_network.Work(_LAYERS, _SIZE, shares.append)
  voxels = {0: 64, 1: 8}
  # Each voxel that `up` makes comes from one voxel below.
  taps = {architecture.CONVOLUTION: 27, architecture.UP: 1,
          architecture.HEAD: 1}
  total = sum(voxels[layer.level] * taps.get(layer.kind, 0)
              * layer.inputs * layer.outputs for layer in _LAYERS)
  work.add(_LAYERS[0], 2)
  assert shares == [pytest.approx(2 * 8 * 27 * 3 / total)]


def test_all_slices_of_all_layers_are_all_the_work():
  shares = []
  work = slab_network.Work(_LAYERS, _SIZE, shares.append)
  for layer in _LAYERS:
    for _ in range(_SIZE[0] >> layer.level):
      work.add(layer, 1)
  assert shares == sorted(shares)
  assert shares[-1] == 1
