"""Configs: defaults of the reference, and mistakes named by their key."""

import math

import ml_collections
import pytest

from mtf_unet import config as config_lib
from mtf_unet import errors


def test_defaults_are_the_references():
  config = config_lib.Config()
  network, loss, optimizer = config.network, config.loss, config.optimizer
  assert (network.base_filters, network.levels) == (32, 4)
  assert (network.batch_norm_momentum, network.epsilon) == (0.9, 1e-6)
  assert (network.leaky_relu_slope, network.dropout_keep) == (0.1, 0.5)
  assert (loss.dice_weight, loss.dice_epsilon) == (0.2, 0.1)
  assert (optimizer.name, optimizer.learning_rate) == ('adafactor', 0.003)
  assert (optimizer.decay_rate, optimizer.decay_steps) == (0.3, 20000)
  assert config.training.batch_size == 32


def test_fault_1_lesion_weighs_sixteen():
  assert config_lib.LossConfig().class_weights == (1.0, 8.0, 16.0)


def test_fault_9_several_channels_and_unequal_edges_are_accepted():
  data = config_lib.DataConfig(size=(48, 64, 40), channels=4)
  assert (data.size, data.channels) == ((48, 64, 40), 4)


def test_from_mapping_reads_a_config_dict():
  config = config_lib.from_mapping(ml_collections.ConfigDict({
      'data': {'size': [48, 64, 48], 'augmentation': {'noise_fine': 1}},
      'mesh': {'spatial_split': (2, 2, 1)},
      'training': {'steps': 7}}))
  assert config.data.size == (48, 64, 48)
  assert isinstance(config.data.augmentation.noise_fine, float)
  assert config.mesh.spatial_split == (2, 2, 1)
  assert config.training == config_lib.TrainingConfig(steps=7)


def test_nothing_given_is_the_default():
  assert config_lib.from_mapping({}) == config_lib.Config()


@pytest.mark.parametrize('levels, multiple', [(1, 1), (3, 4), (4, 8)])
def test_size_multiple_is_two_to_the_number_of_pools(levels, multiple):
  assert config_lib.NetworkConfig(levels=levels).size_multiple == multiple


@pytest.mark.parametrize('dimensions, multiples', [(3, (4, 4, 4)),
                                                   (2, (4, 4, 1))])
def test_slices_are_not_halved_along_z(dimensions, multiples):
  network = config_lib.NetworkConfig(levels=3, dimensions=dimensions)
  assert network.size_multiples == multiples


@pytest.mark.parametrize('mapping, words', [
    ({'trainin': {}}, 'trainin is unknown; nearest: training'),
    ({'data': {'sizes': (8, 8, 8)}}, 'data.sizes is unknown.*data.size'),
    ({'data': 3}, 'data: got 3, expected a group'),
    ({'training': {'steps': 'many'}}, "training.steps: got 'many'.*int"),
    ({'training': {'steps': True}}, 'training.steps: got True'),
    ({'training': {'steps': 1.5}}, 'training.steps: got 1.5'),
    ({'data': {'size': 8}}, 'data.size: got 8'),
    ({'data': {'size': (8, 8)}}, 'data.size.*three positive'),
    ({'data': {'fit': 'crop'}}, "data.fit: got 'crop'.*'pad' or 'resize'"),
    ({'data': {'folds': 5, 'fold': 5}}, 'data.fold: got 5'),
    ({'data': {'augmentation': {'gamma': -1.0}}},
     'data.augmentation.gamma: got -1.0'),
    ({'mesh': {'mesh_shape': 'rows:2'}}, 'mesh_shape and layout together'),
    ({'mesh': {'spatial_split': (0, 1, 1)}}, 'mesh.spatial_split'),
    ({'network': {'normalization': 'layer'}}, 'network.normalization'),
    ({'network': {'dropout_keep': 0.0}}, 'network.dropout_keep'),
    ({'network': {'activation_dtype': 'float16'}}, 'activation_dtype'),
    ({'network': {'recompute': (4,)}},
     r'network.recompute: got \(4,\), expected levels from 0 to 3'),
    ({'network': {'epsilon': 0.0}}, 'network.epsilon: got 0.0'),
    ({'network': {'leaky_relu_slope': -0.1}}, 'leaky_relu_slope: got -0.1'),
    ({'network': {'dimensions': 2}, 'mesh': {'spatial_split': (2, 1, 2)}},
     'one block along z where network.dimensions is 2'),
    ({'data': {'window': (0.0, math.inf)}}, 'data.window.*finite'),
    ({'data': {'spacing_mm': (1.0, 1.0, math.inf)}}, 'data.spacing_mm'),
    ({'data': {'split_seed': -1}}, 'data.split_seed: got -1'),
    ({'training': {'seed': -1}}, 'training.seed: got -1, expected 0 or more'),
    ({'data': {'augmentation': {'flip_axes': (0, 0)}}},
     'data.augmentation.flip_axes.*each once'),
    ({'prediction': {'flip_axes': (3,)}}, 'prediction.flip_axes'),
    ({'loss': {'dice_classes': (1, 1)}}, 'loss.dice_classes.*each once'),
    ({'loss': {'class_weights': (1.0, 8.0, math.inf)}}, 'loss.class_weights'),
    ({'optimizer': {'learning_rate': math.inf}}, 'learning_rate: got inf'),
    ({'optimizer': {'decay_steps': 0}}, 'decay_steps: got 0, expected 1'),
    ({'optimizer': {'decay_rate': 0.0}}, 'optimizer.decay_rate: got 0.0'),
    ({'optimizer': {'clip_norm': math.nan}}, 'optimizer.clip_norm: got nan'),
    ({'loss': {'class_weights': (1.0, 2.0)}},
     'one weight for each of the 3 classes'),
    ({'loss': {'dice_classes': (3,)}}, 'loss.dice_classes.*from 0 to 2'),
    ({'optimizer': {'schedule': 'steps'}}, 'optimizer.schedule'),
    ({'data': {'neighbor_slices': 1}}, '0 unless network.dimensions is 2'),
], ids=lambda value: None if isinstance(value, dict) else value[:24])
def test_mistakes_name_their_key_in_one_line(mapping, words):
  with pytest.raises(errors.InputError, match=words) as caught:
    config_lib.from_mapping(mapping)
  assert '\n' not in str(caught.value)


def test_config_cannot_be_changed_afterwards():
  with pytest.raises(AttributeError):
    config_lib.Config().training.steps = 3
