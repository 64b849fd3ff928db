"""Volumes through a trained network: on the mesh, by slabs or by windows."""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mtf_unet import blocks
from mtf_unet import checkpoints
from mtf_unet import config as config_lib
from mtf_unet import ensembling
from mtf_unet import input_pipeline
from mtf_unet import label_maps
from mtf_unet import layout
from mtf_unet import mesh as mesh_lib
from mtf_unet import model
from mtf_unet import predictors
from mtf_unet import preprocess
from mtf_unet import slab_prediction
from mtf_unet import sliding_window
from mtf_unet import volumes

_WORKSPACE = slab_prediction.Workspace()


class Predictor(predictors.ByProbabilities):
  """A session that maps images of one size to probabilities.

  The mesh need not be the one of the training: a checkpoint knows nothing of
  it. In 2-D mode a volume's slices go through one by one.

  Args:
    config: the experiment.
    partition: how to cut volumes.
    size: voxels along x, y, z.
    devices: of the mesh; by default this process's CPU devices.
    master: TensorFlow server to run on ('' for this process).
    build: makes the graph of (config, partition, size, batch size); by default
      `model.prediction_graph` on the devices.
    session_config: by default one with enough virtual CPU devices.
  """

  def __init__(self, config: config_lib.Config, partition: layout.Partition,
               size: Sequence[int], *, devices: list[str] | None = None,
               master: str = '',
               build: Callable[..., model.PredictionGraph] | None = None,
               session_config: tf.compat.v1.ConfigProto | None = None):
    self._config = config
    # Volumes come one at a time, so blocks along the batch stay the same.
    self._batch = partition.blocks(layout.BATCH)
    self._shape = model.batch_shape(config, self._batch, size)
    self._places = blocks.places(partition, model.dim_names(config),
                                 self._shape)
    with tf.Graph().as_default() as graph:
      self._graph = (
          build(config, partition, size, self._batch) if build else
          model.prediction_graph(config, partition, size, self._batch,
                                 devices))
      self._copy = self._graph.lowering.copy_masters_to_slices()
    self._session = tf.compat.v1.Session(
        master, graph=graph,
        config=session_config or mesh_lib.session_config(partition))

  def restore(self, checkpoint: str) -> None:
    """Loads weights from a checkpoint's path prefix.

    Raises:
      InputError: if it is damaged or holds another network.
    """
    # Outside of a graph the saver would restore eagerly.
    with checkpoints.reading(checkpoint), self._session.graph.as_default():
      self._graph.saver.restore(self._session, checkpoint)
    self._session.run(self._copy)

  def probabilities(self, image: np.ndarray) -> np.ndarray:
    """Computes class probabilities.

    Args:
      image: float32 [x, y, z, channels] of the predictor's size.

    Returns:
      float32 [x, y, z, classes].
    """
    if self._config.network.dimensions == 3:
      return self._run(image[None])[0]
    slices = input_pipeline.evaluation_slices(
        image, self._config.data.neighbor_slices)
    results = [self._run(one[None])[0] for one in slices]
    return np.stack(results, axis=2)

  def _run(self, batch):
    batch = np.repeat(batch, self._batch, axis=0)
    feed = {placeholder: batch[place] for placeholder, place in zip(
        self._graph.images, self._places)}
    return blocks.join(self._session.run(self._graph.probabilities, feed),
                       self._places, self._shape)

  def close(self) -> None:
    """Frees the session."""
    self._session.close()


def fitting_size(shape: Sequence[int], config: config_lib.Config,
                 partition: layout.Partition) -> tuple[int, int, int]:
  """Returns the smallest size, at least the config's, that the split allows.

  Args:
    shape: voxels of the scan along x, y, z after resampling.
    config: the experiment.
    partition: how volumes are cut.
  """
  multiple = tuple(split * edge for split, edge in zip(
      partition.spatial_split, config.network.size_multiples))
  return preprocess.network_size(tuple(shape), config.data.size, multiple)


# Builds a predictor for volumes of a size.
MakePredictor = Callable[[Sequence[int]],
                         Predictor | slab_prediction.SlabPredictor]


class WholeVolumes:
  """Maps volumes of any size to probabilities or labels, none cut to windows.

  A graph has one size; that of the last volume is kept.

  Args:
    config: the experiment.
    partition: how to cut volumes.
    make: builds a Predictor for volumes of a size; by default one on the
      devices of this process.
  """

  def __init__(self, config: config_lib.Config, partition: layout.Partition,
               make: MakePredictor | None = None):
    self._config, self._partition = config, partition
    self._make = make or (lambda size: Predictor(config, partition, size))
    self._checkpoint, self._size, self._predictor = None, None, None

  def restore(self, checkpoint: str) -> None:
    """Loads weights from a checkpoint's path prefix.

    Raises:
      InputError: if it is damaged or holds another network; where no volume
        has come yet, with the first one.
    """
    self._checkpoint = checkpoint
    if self._predictor is not None:
      self._predictor.restore(checkpoint)

  def probabilities(self, image: np.ndarray) -> np.ndarray:
    """Computes class probabilities.

    Args:
      image: float32 [x, y, z, channels].

    Returns:
      float32 [x, y, z, classes].
    """
    predictor, image, inside = self._fitted(image)
    return predictor.probabilities(image)[inside]

  def labels(self, image: np.ndarray) -> np.ndarray:
    """Computes the most probable class.

    Args:
      image: float32 [x, y, z, channels].

    Returns:
      uint8 [x, y, z].
    """
    predictor, image, inside = self._fitted(image)
    return predictor.labels(image)[inside]

  def _fitted(self, image):
    """The predictor, the volume in its size, and where that holds it."""
    size = fitting_size(image.shape[:3], self._config, self._partition)
    return (self._predictor_of(size), *sliding_window.padded(image, size))

  def _predictor_of(self, size):
    if self._size != size:
      if self._predictor is not None:
        self._predictor.close()
      self._predictor = self._make(size)
      self._predictor.restore(self._checkpoint)
      self._size = size
    return self._predictor


def of_volumes(config: config_lib.Config, partition: layout.Partition,
               make: MakePredictor | None = None,
               workspace: slab_prediction.Workspace = _WORKSPACE
               ) -> predictors.Network:
  """Builds what maps volumes of any size to probabilities.

  Args:
    config: its `prediction` says how, and the flips.
    partition: how to cut volumes or windows; slabs run on this process alone,
      of volumes padded as for the partition.
    make: as of `WholeVolumes`; not asked for slabs.
    workspace: of slabs.
  """
  if config.prediction.method == 'slabs':
    make = lambda size: slab_prediction.SlabPredictor(config, size, workspace)
  predictor = WholeVolumes(config, partition, make)
  if config.prediction.method == 'sliding_window':
    predictor = sliding_window.SlidingWindow(
        predictor, config.data.size, config.prediction.overlap)
  if config.prediction.flip_axes:
    predictor = ensembling.FlipMean(predictor, config.prediction.flip_axes)
  return predictor


class FilePredictor:
  """Predicts scans as they were read from their files.

  Args:
    data_config: what a scan becomes for the network.
    predictor: maps volumes to probabilities, its weights loaded.
  """

  def __init__(self, data_config: config_lib.DataConfig,
               predictor: predictors.Predictor):
    self._data_config, self._predictor = data_config, predictor

  def predict(self, volume: volumes.Volume) -> np.ndarray:
    """Computes a scan's class probabilities on its own grid.

    Args:
      volume: as read from its file.

    Returns:
      float32 [x, y, z, classes] of the file's shape and orientation.
    """
    return self._probabilities(*self._prepared(volume))

  def label(self, volume: volumes.Volume) -> np.ndarray:
    """Computes a scan's most probable classes on its own grid.

    Args:
      volume: as read from its file.

    Returns:
      uint8 [x, y, z] of the file's shape and orientation.
    """
    image, geometry = self._prepared(volume)
    if geometry.grid_shape == geometry.canonical_shape:
      return preprocess.to_native_grid(self._predictor.labels(image), geometry)
    # What is interpolated is the probabilities.
    return label_maps.most_probable(self._probabilities(image, geometry))

  def _prepared(self, volume):
    return preprocess.to_network_grid_of_any_size(volume, self._data_config)

  def _probabilities(self, image, geometry):
    return preprocess.probabilities_to_native_grid(
        self._predictor.probabilities(image), geometry)


def ensemble_of(config: config_lib.Config, partition: layout.Partition,
                model_dirs: Sequence[str], make: MakePredictor | None = None,
                workspace: slab_prediction.Workspace = _WORKSPACE
                ) -> ensembling.Ensemble:
  """Opens the best (else newest) checkpoint of each folder.

  Args:
    config: the experiment.
    partition: how to cut volumes.
    model_dirs: folders of one network; the probabilities are averaged.
    make: as of `of_volumes`.
    workspace: of slabs.

  Raises:
    InputError: if a folder has none, or was trained with another network.
  """
  for model_dir in model_dirs:
    checkpoints.check_folder(model_dir, config, training=False)
  return ensembling.Ensemble(
      of_volumes(config, partition, make, workspace),
      [checkpoints.for_prediction(model_dir) for model_dir in model_dirs])


def from_model_dir(config: config_lib.Config, partition: layout.Partition,
                   *model_dirs: str, make: MakePredictor | None = None,
                   workspace: slab_prediction.Workspace = _WORKSPACE
                   ) -> FilePredictor:
  """Opens one model folder, or several whose mean is wanted, for files."""
  return FilePredictor(config.data,
                       ensemble_of(config, partition, model_dirs, make,
                                   workspace))
