"""A trained network as a SavedModel, for programs that know only TensorFlow.

Signatures, each from `volume`, float32 [x, y, z, channels]:
  serving_default   label: uint8 [x, y, z]
  probabilities     probabilities: float32 [x, y, z, classes]

`volume` is a scan in canonical orientation (x to the right, y to the front, z
to the top) at the spacing of the training, of any size, in the file's own
units: the SavedModel normalises, pads to what the network can halve, averages
over flips and members where the experiment says so, and cuts the padding off.
Turning and resampling are left to the caller, whose library of scans knows
their affine; `SavedModelPredictor` does all that for files. The volume goes
through in one pass.

Beside the SavedModel lies experiment.json, the config it was made with. No
Mesh-TensorFlow here.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np
import tensorflow as tf

from mtf_unet import atomic_file
from mtf_unet import config as config_lib
from mtf_unet import ensembling
from mtf_unet import errors
from mtf_unet import label_maps
from mtf_unet import plain_network
from mtf_unet import preprocess
from mtf_unet import volumes

EXPERIMENT_FILE = 'experiment.json'
# What a scan becomes before it enters; where it is stretched, also the size.
_DATA_KEYS = ('num_classes', 'channels', 'spacing_mm', 'fit')


class VolumeNetwork(tf.Module):
  """One or several trained networks from raw volumes to labels.

  Args:
    config: the experiment.
    members: the weights of each network, by name.
  """

  def __init__(self, config: config_lib.Config,
               members: Sequence[Mapping[str, np.ndarray]]):
    super().__init__()
    self._config = config
    # A list: names with slashes are no attributes.
    self._names = sorted(members[0])
    self._members = [
        [tf.Variable(weights[name], trainable=False, dtype=tf.float32)
         for name in self._names] for weights in members]

  def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Returns the functions that are exported, by name."""
    spec = tf.TensorSpec([None, None, None, self._config.data.channels],
                         tf.float32, name='volume')

    def label(volume):
      return {'label': tf.cast(
          tf.argmax(self.probabilities(volume), -1), tf.uint8)}

    def probabilities(volume):
      return {'probabilities': self.probabilities(volume)}
    return {'serving_default': tf.function(label).get_concrete_function(spec),
            'probabilities': tf.function(
                probabilities).get_concrete_function(spec)}

  def probabilities(self, volume: tf.Tensor) -> tf.Tensor:
    """Maps float32 [x, y, z, channels] to float32 [x, y, z, classes]."""
    config = self._config
    image = _normalize(volume, config.data)
    # First to the size trained on, as for a file on the mesh, and only then
    # turned round: pooling's windows lie elsewhere in an odd padding.
    image, begin = _padded(image, tf.maximum(tf.shape(image)[:3],
                                             config.data.size))
    flips = map(list, ensembling.flip_combinations(
        config.prediction.flip_axes))
    parts = [tf.reverse(self._one_pass(tf.reverse(image, axes)), axes)
             for axes in flips]
    return _cut(tf.add_n(parts) / len(parts), begin, volume)

  def _one_pass(self, image):
    """The members' mean for a normalised volume of any size."""
    multiple = self._config.network.size_multiples
    padded, begin = _padded(
        image, -(-tf.shape(image)[:3] // multiple) * multiple)
    parts = [self._softmax(padded, member) for member in self._members]
    return _cut(tf.add_n(parts) / len(parts), begin, image)

  def _softmax(self, image, member):
    config, weights = self._config, dict(zip(self._names, member))

    def network(batch):
      return tf.nn.softmax(plain_network.logits(
          batch, config.network, config.data.num_classes, weights))
    if config.network.dimensions == 3:
      return network(image[None])[0]
    slices = _slices(image, config.data.neighbor_slices)
    # One by one: instance norm is a slice's own, and memory stays flat.
    result = tf.map_fn(lambda one: network(one[None])[0], slices)
    return tf.transpose(result, [1, 2, 0, 3])


def _normalize(volume, config):
  """As `preprocess.normalize`, in TensorFlow."""
  if config.normalization == 'hounsfield':
    return tf.clip_by_value(volume / 1024 + 0.5, 0, 1)
  if config.normalization == 'window':
    low, high = config.window
    return tf.clip_by_value((volume - low) / (high - low), 0, 1)
  mean, variance = tf.nn.moments(tf.cast(volume, tf.float64), [0, 1, 2])
  deviation = tf.sqrt(variance)
  deviation = tf.where(deviation > 1e-6 * tf.abs(mean), deviation, np.inf)
  return tf.cast((tf.cast(volume, tf.float64) - mean) / deviation, tf.float32)


def _padded(image, size):
  """Centres in zeros; returns the larger image and where it begins there."""
  gap = size - tf.shape(image)[:3]
  before = gap // 2
  widths = tf.stack([before, gap - before], axis=1)
  return tf.pad(image, tf.concat([widths, [[0, 0]]], 0)), before


def _cut(padded, begin, like):
  """Cuts out of [x, y, z, classes] what lies where `like` was padded."""
  return tf.slice(padded, tf.concat([begin, [0]], 0),
                  tf.concat([tf.shape(like)[:3], [-1]], 0))


def _slices(image, neighbors):
  """[x, y, z, channels] to [z, x, y, (2 neighbors + 1) channels]."""
  depth = tf.shape(image)[2]
  padded = tf.pad(image, [[0, 0], [0, 0], [neighbors] * 2, [0, 0]])
  shifted = [padded[:, :, i:i + depth] for i in range(2 * neighbors + 1)]
  return tf.transpose(tf.concat(shifted, -1), [2, 0, 1, 3])


def write(folder: str | os.PathLike, config: config_lib.Config,
          members: Sequence[Mapping[str, np.ndarray]]) -> None:
  """Writes a SavedModel, under a temporary name first.

  Args:
    folder: of the SavedModel; must not exist.
    config: the experiment.
    members: the weights of each network, by name.

  Raises:
    InputError: if the folder exists.
  """
  folder = pathlib.Path(folder)
  if folder.exists():
    raise errors.InputError(
        f'{folder}: exists, expected the name of a folder to make')
  temporary = folder.with_name(f'.{folder.name}.{os.getpid()}.partial')
  network = VolumeNetwork(config, members)
  try:
    tf.saved_model.save(network, os.fspath(temporary), network.signatures())
    atomic_file.write_json(temporary / EXPERIMENT_FILE,
                           dataclasses.asdict(config))
    os.replace(temporary, folder)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


class SavedModelPredictor:
  """Predicts scans as they were read from their files by a SavedModel.

  A SavedModel is a program: load none whose origin you do not trust.

  Args:
    folder: that `write` has filled.
    data_config: what a scan becomes for the network.

  Raises:
    InputError: if it is no such folder, or was made for other data.
  """

  def __init__(self, folder: str | os.PathLike,
               data_config: config_lib.DataConfig):
    _check_data(folder, data_config)
    self._data_config = data_config
    try:
      self._model = tf.saved_model.load(os.fspath(folder))
      self._probabilities = self._model.signatures['probabilities']
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
      raise errors.InputError(
          f'{folder}: damaged or no SavedModel of --mode=export '
          f'({" ".join(str(error).split())})') from error

  def predict(self, volume: volumes.Volume) -> np.ndarray:
    """Computes a scan's class probabilities on its own grid.

    Args:
      volume: as read from its file.

    Returns:
      float32 [x, y, z, classes] of the file's shape and orientation.
    """
    grid, geometry = preprocess.to_grid(volume, self._data_config)
    result = self._probabilities(
        volume=tf.constant(grid, tf.float32))['probabilities']
    return preprocess.probabilities_to_native_grid(result.numpy(), geometry)

  def label(self, volume: volumes.Volume) -> np.ndarray:
    """Computes a scan's most probable classes, uint8 on its own grid."""
    return label_maps.most_probable(self.predict(volume))


def _check_data(folder, data_config):
  path = pathlib.Path(folder) / EXPERIMENT_FILE
  try:
    stored = json.loads(path.read_text(encoding='utf-8'))['data']
    values = {key: stored[key] for key in (
        *_DATA_KEYS, *(['size'] if stored['fit'] == 'resize' else []))}
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise errors.InputError(
        f'{path}: expected the experiment that --mode=export writes '
        f'({error!r})') from error
  for key, came in values.items():
    wanted = getattr(data_config, key)
    wanted = list(wanted) if isinstance(wanted, tuple) else wanted
    if came != wanted:
      raise errors.InputError(
          f'{folder}: made with data.{key}={came!r}, expected '
          f'{wanted!r} as in the config')
