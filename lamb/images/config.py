"""What an image job is told: frozen dataclasses that check themselves.

A file in configs/lamb builds an `ml_collections.ConfigDict` of the same shape;
`from_mapping` turns it into a `Config`.
"""

from collections.abc import Mapping
import dataclasses
import difflib
import typing
from typing import Any

from lamb import errors
from lamb import schedules

OPTIMIZERS = ('lamb', 'lars', 'adamw', 'momentum')
NETWORKS = ('resnet50', 'davidnet')
AUGMENTATIONS = ('imagenet', 'cifar')


def _require(condition: bool, key: str, came: Any, expected: str) -> None:
  if not condition:
    raise errors.InputError(
        f'config key {key}: got {came!r}, expected {expected}.')


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """Which pictures, and what is done to them."""

  # Name of a tensorflow-datasets data set with `image` and `label`.
  dataset: str = 'imagenet2012'
  train_split: str = 'train'
  eval_split: str = 'validation'
  num_classes: int = 1000
  # Height and width that the network sees.
  image_size: int = 224
  # `imagenet`: random resized crop and flip; centre crop in evaluation.
  # `cifar`: 4 pixels of reflected border, random crop, flip, a square of 8
  # grey; the picture itself in evaluation.
  augmentation: str = 'imagenet'
  # Records among which the next is drawn; never more than the data set has.
  shuffle_records: int = 16384

  def __post_init__(self):
    for key in ('image_size', 'shuffle_records'):
      _require(getattr(self, key) >= 1, f'data.{key}', getattr(self, key),
               '1 or more')
    _require(self.num_classes >= 2, 'data.num_classes', self.num_classes,
             '2 or more')
    _require(self.augmentation in AUGMENTATIONS, 'data.augmentation',
             self.augmentation, f'one of {", ".join(AUGMENTATIONS)}')


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
  """The network; the defaults are ResNet-50 v1.5."""

  name: str = 'resnet50'
  # Filters of the first convolution.
  width: int = 64
  # `float32`, or `bfloat16` for all layers but the last; weights and batch
  # norm statistics are float32 either way.
  activation_dtype: str = 'float32'

  def __post_init__(self):
    _require(self.name in NETWORKS, 'network.name', self.name,
             f'one of {", ".join(NETWORKS)}')
    _require(self.width >= 1, 'network.width', self.width, '1 or more')
    _require(self.activation_dtype in ('float32', 'bfloat16'),
             'network.activation_dtype', self.activation_dtype,
             'float32 or bfloat16')


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """The update rule and its learning rate by step."""

  name: str = 'lamb'
  # Peak of linear warmup and polynomial decay to 0.
  learning_rate: float = 0.001
  warmup_steps: int = 0
  power: float = 1.0
  # `triangle` or `bert`, see lamb.schedules.
  form: str = 'triangle'
  # Of all variables but batch norm's: inside the rule of lamb, lars and adamw,
  # added to the gradient (L2) for momentum.
  weight_decay: float = 0.0
  # Of lars and momentum; beta_1 of lamb and adamw.
  momentum: float = 0.9
  # Of momentum.
  nesterov: bool = False
  # Of lamb and adamw; the authors' code has none.
  bias_correction: bool = False
  # Gradients are scaled to this global norm when above it; 0: never.
  clip_norm: float = 1.0

  def __post_init__(self):
    _require(self.name in OPTIMIZERS, 'optimizer.name', self.name,
             f'one of {", ".join(OPTIMIZERS)}')
    for key in ('learning_rate', 'power'):
      _require(getattr(self, key) > 0, f'optimizer.{key}', getattr(self, key),
               'a positive number')
    for key in ('warmup_steps', 'weight_decay', 'clip_norm'):
      _require(getattr(self, key) >= 0, f'optimizer.{key}', getattr(self, key),
               '0 or more')
    _require(0 <= self.momentum < 1, 'optimizer.momentum', self.momentum,
             'a number in [0, 1)')
    _require(self.form in schedules.FORMS, 'optimizer.form', self.form,
             f'one of {", ".join(schedules.FORMS)}')


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
  """How long and how often."""

  batch_size: int = 256
  eval_batch_size: int = 256
  steps: int = 450000
  # Share of the label spread over all classes.
  label_smoothing: float = 0.0
  seed: int = 0
  save_every_steps: int = 1000
  # A multiple of save_every_steps; the last step is always evaluated.
  evaluate_every_steps: int = 5000
  summary_every_steps: int = 100

  def __post_init__(self):
    for key in ('batch_size', 'eval_batch_size', 'steps', 'save_every_steps',
                'evaluate_every_steps', 'summary_every_steps'):
      _require(getattr(self, key) >= 1, f'training.{key}', getattr(self, key),
               '1 or more')
    _require(0 <= self.label_smoothing < 1, 'training.label_smoothing',
             self.label_smoothing, 'a number in [0, 1)')
    _require(self.evaluate_every_steps % self.save_every_steps == 0,
             'training.evaluate_every_steps', self.evaluate_every_steps,
             f'a multiple of training.save_every_steps, {self.save_every_steps}'
             )


@dataclasses.dataclass(frozen=True)
class Config:
  """One experiment."""

  data: DataConfig = DataConfig()
  network: NetworkConfig = NetworkConfig()
  optimizer: OptimizerConfig = OptimizerConfig()
  training: TrainingConfig = TrainingConfig()

  def __post_init__(self):
    _require(self.optimizer.warmup_steps <= self.training.steps,
             'optimizer.warmup_steps', self.optimizer.warmup_steps,
             f'at most training.steps, {self.training.steps}')


def from_mapping(mapping: Mapping) -> Config:
  """Builds a Config from a nested mapping (an `ml_collections.ConfigDict`).

  Keys that are left out keep their defaults.

  Raises:
    InputError: for an unknown key (naming the nearest known one), a value of
      the wrong type, or a value out of range.
  """
  groups = typing.get_type_hints(Config)
  values = {}
  for name, group in mapping.items():
    _check_known(name, groups, '')
    if not hasattr(group, 'items'):
      raise errors.InputError(
          f'config key {name}: got {group!r}, expected a group of keys.')
    values[name] = _group(groups[name], group, f'{name}.')
  return Config(**values)


def _check_known(key, known, prefix):
  if key not in known:
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
    raise errors.InputError(
        f'config key {prefix}{key} is unknown; nearest: {prefix}{nearest}.')


def _group(cls, mapping, prefix):
  """Builds one group; whole numbers become floats where those are meant."""
  hints = typing.get_type_hints(cls)
  values = {}
  for key, value in mapping.items():
    _check_known(key, hints, prefix)
    if hints[key] is float and type(value) is int:
      value = float(value)
    if type(value) is not hints[key]:
      raise errors.InputError(
          f'config key {prefix}{key}: got {value!r}, expected '
          f'{hints[key].__name__}.')
    values[key] = value
  return cls(**values)
