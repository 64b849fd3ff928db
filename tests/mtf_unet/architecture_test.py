"""The list of layers is the network that is built."""

import pytest
import tensorflow as tf

from configs.mtf_unet import lits_512
from mtf_unet import architecture
from mtf_unet import config as config_lib
from mtf_unet import dropout
from mtf_unet import unet
from mtf_unet.mtf_compat import mtf

_CONFIGS = {
    'small': {'data': {'size': (16, 16, 8), 'channels': 2},
              'network': {'base_filters': 4, 'levels': 3}},
    'one level': {'data': {'size': (8, 8, 8)},
                  'network': {'base_filters': 3, 'levels': 1}},
    'instance norm, three convolutions': {
        'data': {'size': (16, 16, 16)},
        'network': {'base_filters': 2, 'normalization': 'instance',
                    'convolutions_per_level': 3}},
    'deep supervision': {'data': {'size': (16, 16, 16)},
                         'network': {'base_filters': 2, 'levels': 4,
                                     'deep_supervision': 2}},
    '2-D': {'data': {'size': (16, 16, 8)},
            'network': {'base_filters': 4, 'levels': 2, 'dimensions': 2}},
    'LiTS': lits_512.get_config(),
}


@pytest.fixture(scope='module', name='built', params=list(_CONFIGS))
def _built(request):
  """The config, its layers and the real graph's variables."""
  config = config_lib.from_mapping(_CONFIGS[request.param])
  network = config.network
  with tf.Graph().as_default():
    mesh = mtf.Mesh(mtf.Graph(), 'mesh')
    shape = [1, *config.data.size[:network.dimensions], config.data.channels]
    dims = mtf.Shape(list(map(
        mtf.Dimension, ['batch', 'x', 'y', 'z'][:len(shape) - 1] + ['c'],
        shape)))
    images = mtf.import_tf_tensor(
        mesh, tf.compat.v1.placeholder(tf.float32, shape), dims)
    drop = dropout.Dropout(network.dropout_keep, 0, tf.constant(0, tf.int64))
    unet.Network(network, config.data.num_classes, drop).logits(images)
  layers = architecture.training_layers(network, config.data.channels,
                                        config.data.num_classes)
  return network, layers, mesh.graph


def test_variables_are_those_of_the_graph_in_its_order(built):
  network, layers, graph = built
  listed = [(v.name, list(v.shape), v.trainable) for layer in layers
            for v in architecture.variables(layer, network)]
  assert listed == [(v.name, v.shape.to_integer_list, v.trainable)
                    for v in graph.all_variables]


def test_each_layer_is_fed_by_the_one_before(built):
  _, layers, _ = built
  line = [layer for layer in layers if not layer.is_branch]
  for before, layer in zip(line, line[1:]):
    joined = 2 if layer.kind == architecture.JOIN else 1
    assert layer.inputs == joined * before.outputs
  assert len({layer.name for layer in layers}) == len(layers)


def test_dropout_follows_all_but_the_first_convolution():
  layers = architecture.layers(config_lib.NetworkConfig(levels=2), 1, 3)
  assert [(layer.name, layer.drops) for layer in layers] == [
      ('encoder_0_0', False), ('encoder_0_1', True), ('pool_1', False),
      ('encoder_1_0', True), ('encoder_1_1', True), ('up_0', True),
      ('join_0', False), ('decoder_0_0', True), ('decoder_0_1', True),
      ('head', False)]


def test_coarse_heads_branch_off_below_what_goes_up():
  network = config_lib.NetworkConfig(levels=4, convolutions_per_level=1,
                                     deep_supervision=2)
  layers = architecture.training_layers(network, 1, 3)
  assert [layer.name for layer in layers[7:]] == [
      'up_2', 'join_2', 'decoder_2_0', 'head_2', 'up_1', 'join_1',
      'decoder_1_0', 'head_1', 'up_0', 'join_0', 'decoder_0_0', 'head']
  assert [layer.name for layer in layers if layer.is_branch] == [
      'head_2', 'head_1']
  assert [layer for layer in layers if not layer.is_branch] == (
      architecture.layers(network, 1, 3))
