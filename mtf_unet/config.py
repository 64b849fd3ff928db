"""What a job is told: frozen dataclasses that check themselves.

A file in configs/mtf_unet builds an `ml_collections.ConfigDict` of the same
shape; `from_mapping` turns it into a `Config`, so that the library sees one
immutable object and never a flag.
"""

import collections.abc
import dataclasses
import difflib
import math
import types
import typing

from mtf_unet import errors

# Of mesh.layout: the memory planner chooses the mesh.
AUTO_LAYOUT = 'auto'


def _require(condition: bool, key: str, came, expected: str) -> None:
  if not condition:
    raise errors.InputError(
        f'config key {key}: got {came!r}, expected {expected}')


def _require_axes(key: str, axes: tuple[int, ...]) -> None:
  _require(all(axis in (0, 1, 2) for axis in axes) and _each_once(axes), key,
           axes, 'axes out of 0, 1, 2, each once')


def _each_once(items: tuple[int, ...]) -> bool:
  return len(set(items)) == len(items)


@dataclasses.dataclass(frozen=True)
class AugmentationConfig:
  """Random changes of a training pair; every default of the reference."""
  # Axes (0 x, 1 y, 2 z) of which each is flipped with probability 0.5.
  flip_axes: tuple[int, ...] = (0, 1, 2)
  # Rotation by 180 degrees in the axial plane, with probability 0.5.
  rotate_180: bool = True
  # Probability that any of the changes of intensity below is made at all.
  intensity_probability: float = 1.0
  # Largest shift of a class's mean intensity (normalised units).
  intensity_shift: float = 0.0
  # Largest standard deviation of noise per voxel, and per block of 4x4x4.
  noise_fine: float = 0.0
  noise_coarse: float = 0.0
  # Probability that a random box outside the highest class is corrupted.
  corruption: float = 0.0
  # Largest displacement of a corner by the projective transform, as a
  # fraction of the axis length.
  projective: float = 0.0
  # Not in the reference: small random affine maps and intensity curves.
  rotation_degrees: float = 0.0
  scaling: float = 0.0
  translation_voxels: float = 0.0
  contrast: float = 0.0
  brightness: float = 0.0
  gamma: float = 0.0
  # Largest relative gain in a corner of a smooth multiplicative field, as the
  # coils of an MR scanner leave it.
  bias_field: float = 0.0
  # Standard deviation in voxels of a smooth random displacement field.
  elastic_voxels: float = 0.0

  def __post_init__(self):
    _require_axes('data.augmentation.flip_axes', self.flip_axes)
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if isinstance(value, float):
        _require(math.isfinite(value) and value >= 0,
                 f'data.augmentation.{field.name}', value,
                 'a finite number, 0 or more')
    for key in ('intensity_probability', 'corruption'):
      _require(getattr(self, key) <= 1, f'data.augmentation.{key}',
               getattr(self, key), 'a probability, at most 1')


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """How a scan becomes what the network sees."""
  # Voxels along x, y, z (canonical orientation: left to right, back to front,
  # bottom to top) of the network's input.
  size: tuple[int, int, int] = (128, 128, 128)
  # Labels are whole numbers 0 .. num_classes - 1.
  num_classes: int = 3
  # Channels of one voxel of the file (modalities).
  channels: int = 1
  # Voxel size in mm to resample to; None keeps the scan's own.
  spacing_mm: tuple[float, float, float] | None = None
  # 'pad': centre the volume in zeros; 'resize': stretch it to `size`.
  fit: str = 'pad'
  # 'hounsfield': clip(HU / 1024 + 0.5, 0, 1); 'window': `window` to 0 .. 1,
  # clipped; 'zscore': zero mean and unit variance per volume and channel.
  normalization: str = 'zscore'
  # Voxel values that become 0 and 1 under 'window'.
  window: tuple[float, float] = (0.0, 255.0)
  # 2-D mode only: axial slices on each side that join the channels.
  neighbor_slices: int = 0
  # Fraction of the cases that is held out where there is no split file.
  validation_fraction: float = 0.2
  split_seed: int = 0
  # Cross-validation that leaves the validation cases alone: with folds > 0
  # the training cases fall into so many parts, part `fold` (0 .. folds - 1)
  # is validated on and the others are trained on.
  folds: int = 0
  fold: int = 0
  # Train on patches of `size` cut from volumes that may be larger, instead of
  # on whole volumes.
  patches: bool = False
  # Share of the patches that lie around a voxel of a class other than the
  # background; the others lie anywhere.
  foreground_share: float = 1 / 3
  # Voxels that a patch has more on each side until it has been augmented, so
  # that a rotation brings the scan in and not zeros.
  patch_margin: int = 0
  # Keep decoded volumes in memory (set to False for sets larger than that).
  cache: bool = True
  augmentation: AugmentationConfig = AugmentationConfig()

  def __post_init__(self):
    _require(len(self.size) == 3 and all(n > 0 for n in self.size),
             'data.size', self.size, 'three positive whole numbers')
    _require(2 <= self.num_classes <= 255, 'data.num_classes',
             self.num_classes, 'a whole number from 2 to 255')
    _require(self.channels >= 1, 'data.channels', self.channels, '1 or more')
    _require(self.spacing_mm is None or (
        len(self.spacing_mm) == 3
        and all(0 < s < math.inf for s in self.spacing_mm)),
             'data.spacing_mm', self.spacing_mm, 'three positive numbers in mm')
    _require(self.fit in ('pad', 'resize'), 'data.fit', self.fit,
             "'pad' or 'resize'")
    _require(self.normalization in ('hounsfield', 'window', 'zscore'),
             'data.normalization', self.normalization,
             "'hounsfield', 'window' or 'zscore'")
    _require(len(self.window) == 2
             and -math.inf < self.window[0] < self.window[1] < math.inf,
             'data.window', self.window, 'two rising finite numbers')
    _require(self.fit == 'pad' or self.spacing_mm is None, 'data.spacing_mm',
             self.spacing_mm, "None with fit 'resize', which stretches to size")
    _require(self.folds >= 0 and self.folds != 1, 'data.folds', self.folds,
             '0, or 2 or more')
    _require(0 <= self.fold < max(1, self.folds), 'data.fold', self.fold,
             'a whole number from 0 to folds - 1')
    _require(self.neighbor_slices >= 0, 'data.neighbor_slices',
             self.neighbor_slices, '0 or more')
    _require(0 < self.validation_fraction < 1, 'data.validation_fraction',
             self.validation_fraction, 'a fraction between 0 and 1')
    _require(self.split_seed >= 0, 'data.split_seed', self.split_seed,
             '0 or more')
    _require(not self.patches or self.fit == 'pad', 'data.patches',
             self.patches, "False with fit 'resize', which has one size")
    _require(0 <= self.foreground_share <= 1, 'data.foreground_share',
             self.foreground_share, 'a share from 0 to 1')
    _require(self.patch_margin >= 0, 'data.patch_margin', self.patch_margin,
             '0 or more')


@dataclasses.dataclass(frozen=True)
class MeshConfig:
  """How the volume lies on the processors.

  Either `spatial_split` alone, or `mesh_shape` and `layout` as Mesh-TensorFlow
  writes them (`'rows:4,columns:4'`, `'x:rows,y:columns'`; the dimensions of
  the data are batch, x, y, z), or `layout='auto'` and `device_memory_gib`: the
  smallest mesh, of at most `devices` processors, on which training fits.
  """
  # Blocks along x, y, z.
  spatial_split: tuple[int, int, int] = (1, 1, 1)
  # Blocks along the batch, beside the spatial ones.
  batch_split: int = 1
  # Processors that hold the blocks; None: one for each block.
  devices: int | None = None
  mesh_shape: str = ''
  layout: str = ''
  # With layout 'auto': memory of one processor in GiB.
  device_memory_gib: float | None = None

  def __post_init__(self):
    _require(len(self.spatial_split) == 3
             and all(n >= 1 for n in self.spatial_split),
             'mesh.spatial_split', self.spatial_split,
             'three whole numbers, 1 or more')
    _require(self.batch_split >= 1, 'mesh.batch_split', self.batch_split,
             '1 or more')
    automatic = self.layout == AUTO_LAYOUT
    _require(bool(self.mesh_shape) == (bool(self.layout) and not automatic),
             'mesh.layout', self.layout,
             "mesh_shape and layout together, neither, or 'auto' alone")
    _require(not automatic or (
        self.spatial_split == (1, 1, 1) and self.batch_split == 1),
             'mesh.spatial_split', self.spatial_split,
             "(1, 1, 1), and mesh.batch_split=1, beside mesh.layout='auto'")
    _require((self.device_memory_gib is not None) == automatic
             and (not automatic or 0 < self.device_memory_gib < math.inf),
             'mesh.device_memory_gib', self.device_memory_gib,
             "a positive number of GiB with mesh.layout='auto', else None")
    _require(self.devices is None or self.devices >= 1, 'mesh.devices',
             self.devices, 'None or 1 or more')


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
  """The UNet; defaults are the reference's."""
  # 3: convolutions over x, y, z. 2: axial slices, convolutions over x, y.
  dimensions: int = 3
  # Filters of the first level; level l has base_filters * 2^l.
  base_filters: int = 32
  levels: int = 4
  convolutions_per_level: int = 2
  # 'batch' (over the whole mesh) or 'instance'.
  normalization: str = 'batch'
  batch_norm_momentum: float = 0.9
  epsilon: float = 1e-6
  leaky_relu_slope: float = 0.1
  dropout_keep: float = 0.5
  # Coarser levels of the decoder that have a head and a loss of their own in
  # training; each weighs half of the level above it.
  deep_supervision: int = 0
  # 'float32' or 'bfloat16'; master weights are float32 in either case.
  activation_dtype: str = 'float32'
  # Levels (0 the finest) of whose layers the backward pass keeps only what
  # convolutions return; the rest is computed again (docs/memory.md).
  recompute: tuple[int, ...] = ()

  def __post_init__(self):
    _require(self.dimensions in (2, 3), 'network.dimensions', self.dimensions,
             '2 or 3')
    for key in ('base_filters', 'levels', 'convolutions_per_level'):
      _require(getattr(self, key) >= 1, f'network.{key}', getattr(self, key),
               '1 or more')
    _require(self.normalization in ('batch', 'instance'),
             'network.normalization', self.normalization,
             "'batch' or 'instance'")
    _require(0 <= self.deep_supervision <= max(0, self.levels - 2),
             'network.deep_supervision', self.deep_supervision,
             'a whole number from 0 to levels - 2')
    _require(0 < self.dropout_keep <= 1, 'network.dropout_keep',
             self.dropout_keep, 'a probability above 0, at most 1')
    _require(0 <= self.batch_norm_momentum < 1, 'network.batch_norm_momentum',
             self.batch_norm_momentum, 'a number in [0, 1)')
    _require(0 < self.epsilon < math.inf, 'network.epsilon', self.epsilon,
             'a positive number')
    _require(0 <= self.leaky_relu_slope <= 1, 'network.leaky_relu_slope',
             self.leaky_relu_slope, 'a number from 0 to 1')
    _require(all(0 <= level < self.levels for level in self.recompute),
             'network.recompute', self.recompute,
             f'levels from 0 to {self.levels - 1}')
    _require(self.activation_dtype in ('float32', 'bfloat16'),
             'network.activation_dtype', self.activation_dtype,
             "'float32' or 'bfloat16'")

  @property
  def size_multiple(self) -> int:
    """What a block's edge must be a multiple of, to be halved at each pool."""
    return 2 ** (self.levels - 1)

  @property
  def size_multiples(self) -> tuple[int, int, int]:
    """The same along x, y and z: slices of a 2-D network are not halved."""
    edge = self.size_multiple
    return edge, edge, edge if self.dimensions == 3 else 1


@dataclasses.dataclass(frozen=True)
class LossConfig:
  """dice_weight * (1 - Dice) + (1 - dice_weight) * weighted cross entropy."""
  dice_weight: float = 0.2
  # Classes whose Dice counts; the reference uses the lesion alone.
  dice_classes: tuple[int, ...] = (2,)
  dice_epsilon: float = 0.1
  # Weight of a voxel by its true class; () weighs all alike.
  class_weights: tuple[float, ...] = (1.0, 8.0, 16.0)

  def __post_init__(self):
    _require(0 <= self.dice_weight <= 1, 'loss.dice_weight', self.dice_weight,
             'a number from 0 to 1')
    _require(all(0 <= w < math.inf for w in self.class_weights),
             'loss.class_weights', self.class_weights, 'weights of 0 or more')
    _require(_each_once(self.dice_classes), 'loss.dice_classes',
             self.dice_classes, 'classes, each once')
    _require(0 < self.dice_epsilon < math.inf, 'loss.dice_epsilon',
             self.dice_epsilon, 'a positive number')


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """Optimizer and learning-rate schedule; defaults are the reference's."""
  # 'adafactor', 'adam', or a name that the script joins in ('lamb').
  name: str = 'adafactor'
  learning_rate: float = 0.003
  # 'staircase', 'cosine' or 'polynomial'.
  schedule: str = 'staircase'
  warmup_steps: int = 0
  # staircase: learning_rate * decay_rate ^ floor(step / decay_steps).
  decay_rate: float = 0.3
  decay_steps: int = 20000
  # polynomial: exponent of the decay to end_learning_rate.
  power: float = 1.0
  end_learning_rate: float = 0.0
  weight_decay: float = 0.0
  # Gradients are scaled to this global norm when above it; 0: never.
  clip_norm: float = 0.0

  def __post_init__(self):
    for key in ('learning_rate', 'decay_rate', 'power'):
      _require(0 < getattr(self, key) < math.inf, f'optimizer.{key}',
               getattr(self, key), 'a positive number')
    _require(self.decay_steps >= 1, 'optimizer.decay_steps', self.decay_steps,
             '1 or more')
    _require(self.schedule in ('staircase', 'cosine', 'polynomial'),
             'optimizer.schedule', self.schedule,
             "'staircase', 'cosine' or 'polynomial'")
    for key in ('warmup_steps', 'weight_decay', 'clip_norm',
                'end_learning_rate'):
      _require(0 <= getattr(self, key) < math.inf, f'optimizer.{key}',
               getattr(self, key), '0 or more')


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
  """How long, how often, and from where."""
  steps: int = 100000
  batch_size: int = 32
  seed: int = 0
  save_every_steps: int = 500
  evaluate_every_steps: int = 2000
  summary_every_steps: int = 100
  # On a TPU: steps between two looks of the host, at most save_every_steps;
  # checkpoints fall on the end of such a loop.
  iterations_per_loop: int = 100
  # Checkpoint file or folder whose weights start the training ('' for none);
  # variables of another shape (number of classes) are left at their start.
  warm_start: str = ''
  # Decay of the exponential moving average of the weights that evaluation
  # and prediction use; 0: the weights themselves.
  ema_decay: float = 0.0

  def __post_init__(self):
    for key in ('steps', 'batch_size', 'save_every_steps',
                'evaluate_every_steps', 'summary_every_steps',
                'iterations_per_loop'):
      _require(getattr(self, key) >= 1, f'training.{key}', getattr(self, key),
               '1 or more')
    _require(self.seed >= 0, 'training.seed', self.seed, '0 or more')
    _require(0 <= self.ema_decay < 1, 'training.ema_decay', self.ema_decay,
             'a number in [0, 1)')


@dataclasses.dataclass(frozen=True)
class PredictionConfig:
  """From a volume to its label map."""
  # 'whole': the volume in one pass. 'slabs': the same result slab by slab, in
  # flat memory (docs/slab-prediction.md). 'sliding_window': windows of
  # data.size whose probabilities are averaged with Gaussian weights.
  method: str = 'whole'
  # With 'slabs': their number along the longest axis; 0: thin ones, of about
  # two million voxels.
  slabs: int = 0
  # Part of a window that overlaps with the next one.
  overlap: float = 0.5
  # Axes (0 x, 1 y, 2 z): the probabilities are the mean over all ways to flip
  # the volume along these (2^n passes).
  flip_axes: tuple[int, ...] = ()
  # Classes of which only the largest connected component is kept.
  largest_component: tuple[int, ...] = ()

  def __post_init__(self):
    _require(self.method in ('whole', 'slabs', 'sliding_window'),
             'prediction.method', self.method,
             "'whole', 'slabs' or 'sliding_window'")
    _require(self.slabs >= 0, 'prediction.slabs', self.slabs, '0 or more')
    _require(self.slabs == 0 or self.method == 'slabs', 'prediction.slabs',
             self.slabs, "0 unless prediction.method is 'slabs'")
    _require(0 <= self.overlap < 1, 'prediction.overlap', self.overlap,
             'a fraction from 0 to below 1')
    _require_axes('prediction.flip_axes', self.flip_axes)


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
  """What --mode=eval measures beside Dice and volumes."""
  # HD95 and average surface distance; minutes for large volumes.
  surface_distances: bool = True
  # Classes whose connected components are counted as lesions.
  lesion_classes: tuple[int, ...] = ()
  # Intersection over union above which a lesion counts as found.
  lesion_overlap: float = 0.5

  def __post_init__(self):
    _require(0 <= self.lesion_overlap < 1, 'evaluation.lesion_overlap',
             self.lesion_overlap, 'a fraction from 0 to below 1')


@dataclasses.dataclass(frozen=True)
class Config:
  """One experiment."""
  data: DataConfig = DataConfig()
  mesh: MeshConfig = MeshConfig()
  network: NetworkConfig = NetworkConfig()
  loss: LossConfig = LossConfig()
  optimizer: OptimizerConfig = OptimizerConfig()
  training: TrainingConfig = TrainingConfig()
  prediction: PredictionConfig = PredictionConfig()
  evaluation: EvaluationConfig = EvaluationConfig()

  def __post_init__(self):
    classes = self.data.num_classes
    _require(len(self.loss.class_weights) in (0, classes),
             'loss.class_weights', self.loss.class_weights,
             f'one weight for each of the {classes} classes, or none')
    _require(all(0 <= c < classes for c in self.loss.dice_classes),
             'loss.dice_classes', self.loss.dice_classes,
             f'classes from 0 to {classes - 1}')
    for key, labels in (
        ('prediction.largest_component', self.prediction.largest_component),
        ('evaluation.lesion_classes', self.evaluation.lesion_classes)):
      _require(all(1 <= c < classes for c in labels), key, labels,
               f'classes from 1 to {classes - 1}')
    _require(self.network.dimensions == 3 or not self.data.patches,
             'data.patches', self.data.patches,
             'False where network.dimensions is 2')
    _require(self.network.dimensions == 3
             or self.prediction.method == 'whole', 'prediction.method',
             self.prediction.method, "'whole' where network.dimensions is 2")
    _require(self.network.dimensions == 3 or self.mesh.spatial_split[2] == 1,
             'mesh.spatial_split', self.mesh.spatial_split,
             'one block along z where network.dimensions is 2')
    _require(self.data.neighbor_slices == 0 or self.network.dimensions == 2,
             'data.neighbor_slices', self.data.neighbor_slices,
             '0 unless network.dimensions is 2')


def from_mapping(mapping: collections.abc.Mapping) -> Config:
  """Builds a Config from a nested mapping (an `ml_collections.ConfigDict`).

  Keys that are left out keep their defaults.

  Raises:
    InputError: for an unknown key (naming the nearest known one), a value of
      the wrong type, or a value out of range.
  """
  return _build(Config, mapping, prefix='')


def _build(cls, mapping, prefix):
  if not isinstance(mapping, collections.abc.Mapping) and not hasattr(
      mapping, 'items'):
    raise errors.InputError(
        f'config key {prefix[:-1]}: got {mapping!r}, expected a group of keys')
  known = {field.name: field for field in dataclasses.fields(cls)}
  hints = typing.get_type_hints(cls)
  values = {}
  for key, value in mapping.items():
    if key not in known:
      nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
      raise errors.InputError(
          f'config key {prefix}{key} is unknown; nearest: {prefix}{nearest}')
    if dataclasses.is_dataclass(hints[key]):
      values[key] = _build(hints[key], value, f'{prefix}{key}.')
    else:
      values[key] = _convert(value, hints[key], prefix + key)
  return cls(**values)


def _convert(value, hint, key):
  """Converts to the annotated type, refusing what would lose information."""
  options = (typing.get_args(hint)
             if isinstance(hint, types.UnionType) else (hint,))
  if value is None and type(None) in options:
    return None
  target = options[0]
  try:
    if typing.get_origin(target) is tuple:
      element = typing.get_args(target)[0]
      return tuple(_convert(item, element, key) for item in value)
    if target is float and isinstance(value, (int, float)) and not isinstance(
        value, bool):
      return float(value)
    if isinstance(value, target) and not (
        target is int and isinstance(value, bool)):
      return value
  except TypeError:
    pass
  name = getattr(target, '__name__', str(target))
  raise errors.InputError(
      f'config key {key}: got {value!r}, expected {name}')
