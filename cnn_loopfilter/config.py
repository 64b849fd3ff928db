"""What a job is told: frozen dataclasses that check themselves.

A file in configs/cnn_loopfilter builds an `ml_collections.ConfigDict` of the
same shape; `from_mapping` turns it into a `Config`, so that the library sees
one immutable object and never a flag.
"""

import collections.abc
import dataclasses
import difflib
import typing

import dacite

from cnn_loopfilter import data_config
from cnn_loopfilter import errors


def _require(condition: bool, key: str, came, expected: str) -> None:
  if not condition:
    raise errors.InputError(
        f'config key {key}: got {came!r}, expected {expected}')


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
  """The filter network; the defaults are the paper's (222,912 weights)."""
  # Filters of every layer but the last, which has one.
  filters: tuple[int, ...] = (64,) * 7
  # Height and width of each kernel, odd.
  kernel_size: int = 3
  # The last convolution's output times this is the residual in units of
  # sample / 2^depth; a power of two. The residual is about 1 % of the range
  # and drowns in a plain start; not the paper's.
  residual_scale: float = 2.0 ** -6
  # Start at the filter that changes nothing; False is the plain recipe, which
  # makes pictures worse than no filter.
  zero_last_layer: bool = True
  # Of the batch norm's moving averages (per step), and in its root.
  batch_norm_momentum: float = 0.99
  batch_norm_epsilon: float = 1e-3
  # Of the activations in training: 'float32', or 'bfloat16' where the
  # processor multiplies it faster; weights and sums stay float32.
  activation_dtype: str = 'float32'

  def __post_init__(self):
    _require(len(self.filters) >= 1 and all(n >= 1 for n in self.filters),
             'network.filters', self.filters,
             'one layer or more, each of 1 filter or more')
    _require(self.kernel_size >= 1 and self.kernel_size % 2 == 1,
             'network.kernel_size', self.kernel_size, 'an odd whole number')
    scale = self.residual_scale
    _require(scale > 0 and scale.hex().startswith('0x1.0000000000000p'),
             'network.residual_scale', scale, 'a power of two')
    _require(0 <= self.batch_norm_momentum < 1, 'network.batch_norm_momentum',
             self.batch_norm_momentum, 'a number in [0, 1)')
    _require(self.batch_norm_epsilon > 0, 'network.batch_norm_epsilon',
             self.batch_norm_epsilon, 'a positive number')
    _require(self.activation_dtype in ('float32', 'bfloat16'),
             'network.activation_dtype', self.activation_dtype,
             "'float32' or 'bfloat16'")


@dataclasses.dataclass(frozen=True)
class LossConfig:
  """Factors of the loss's terms; the defaults are the paper's."""
  # Of the norm of the convolution kernels.
  lambda_w: float = 1e-5
  # Of the sparsity term on the batch-norm scales.
  lambda_s: float = 5e-8
  # Of the term that separates useful filters from useless ones.
  lambda_lda: float = 3e-6
  # 'l1' or 'l2': norm of the kernels, and of the batch-norm scales.
  weight_norm: str = 'l2'
  scale_norm: str = 'l1'
  # 'none': half the summed squared error of a patch, the paper's. 'class':
  # each patch's error is divided by the mean one that the codec leaves at its
  # QP and component, so that the relative gain of each counts the same; not
  # the paper's.
  balance: str = 'none'

  def __post_init__(self):
    for key in ('lambda_w', 'lambda_s', 'lambda_lda'):
      _require(getattr(self, key) >= 0, f'loss.{key}', getattr(self, key),
               '0 or more')
    for key in ('weight_norm', 'scale_norm'):
      _require(getattr(self, key) in ('l1', 'l2'), f'loss.{key}',
               getattr(self, key), "'l1' or 'l2'")
    _require(self.balance in ('none', 'class'), 'loss.balance', self.balance,
             "'none' or 'class'")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """Optimizer and learning-rate schedule."""
  # 'adam', or a name that the script joins in ('lamb').
  name: str = 'adam'
  learning_rate: float = 1e-3
  # 'cosine' or 'polynomial', after the warmup.
  schedule: str = 'cosine'
  # Steps over which the rate rises linearly from 0.
  warmup_steps: int = 100
  # polynomial: exponent of the decay to end_learning_rate.
  power: float = 1.0
  end_learning_rate: float = 0.0
  # Of Adam and LAMB: decays of the moments, and beside the root.
  beta_1: float = 0.9
  beta_2: float = 0.999
  epsilon: float = 1e-8
  weight_decay: float = 0.0
  # Gradients are scaled to this global norm when above it; 0: never.
  clip_norm: float = 1.0

  def __post_init__(self):
    _require(self.learning_rate > 0, 'optimizer.learning_rate',
             self.learning_rate, 'a positive number')
    _require(self.schedule in ('cosine', 'polynomial'),
             'optimizer.schedule', self.schedule, "'cosine' or 'polynomial'")
    for key in ('warmup_steps', 'power', 'end_learning_rate', 'clip_norm',
                'weight_decay'):
      _require(getattr(self, key) >= 0, f'optimizer.{key}', getattr(self, key),
               '0 or more')
    for key in ('beta_1', 'beta_2'):
      _require(0 <= getattr(self, key) < 1, f'optimizer.{key}',
               getattr(self, key), 'a number in [0, 1)')
    _require(self.epsilon > 0, 'optimizer.epsilon', self.epsilon,
             'a positive number')


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
  """How long, how often, and from where."""
  steps: int = 100000
  # Patches in a step.
  batch_size: int = 32
  # Mirror and transpose patches at random.
  augment: bool = True
  seed: int = 0
  save_every_steps: int = 500
  # Of the held-out records, where there are any.
  evaluate_every_steps: int = 1000
  # Held-out patches that are scored, about.
  evaluate_patches: int = 2000
  summary_every_steps: int = 100
  # Where the weights start: a checkpoint, a folder with checkpoints, or an
  # exported filter (.npz); '' for none.
  warm_start: str = ''
  # Decay per step of the exponential moving average of the weights that
  # evaluation and export use; 0: the weights themselves.
  ema_decay: float = 0.999

  def __post_init__(self):
    for key in ('steps', 'batch_size', 'save_every_steps',
                'evaluate_every_steps', 'evaluate_patches',
                'summary_every_steps'):
      _require(getattr(self, key) >= 1, f'training.{key}', getattr(self, key),
               '1 or more')
    _require(self.evaluate_every_steps % self.save_every_steps == 0,
             'training.evaluate_every_steps', self.evaluate_every_steps,
             'a multiple of training.save_every_steps, '
             f'{self.save_every_steps}')
    _require(0 <= self.ema_decay < 1, 'training.ema_decay', self.ema_decay,
             'a number in [0, 1)')


@dataclasses.dataclass(frozen=True)
class CompressionConfig:
  """Which filters are removed."""
  # Filters whose importance is below this are removed; None: not by it.
  threshold: float | None = None
  # Part of the MACs that stays, by a ranking over all layers; None: not by it.
  keep_macs: float | None = 0.5
  # 'scale': absolute batch-norm scale, the paper's. 'contribution': share of
  # the next layer's variance. 'magnitude': norm of the kernel.
  importance: str = 'scale'
  # Every layer keeps this many filters at least.
  minimum_width: int = 4
  # Widths become multiples of this, rounded up.
  width_multiple: int = 1
  # Of the same widths trained from scratch, a control; 0: as many as the
  # training that is compressed and the fine-tuning took together.
  scratch_steps: int = 0

  def __post_init__(self):
    _require((self.threshold is None) != (self.keep_macs is None),
             'compression.keep_macs', self.keep_macs,
             'either a threshold or a part of the MACs, the other None')
    _require(self.threshold is None or self.threshold >= 0,
             'compression.threshold', self.threshold, '0 or more')
    _require(self.keep_macs is None or 0 < self.keep_macs <= 1,
             'compression.keep_macs', self.keep_macs,
             'a fraction above 0, at most 1')
    _require(self.importance in ('scale', 'contribution', 'magnitude'),
             'compression.importance', self.importance,
             "'scale', 'contribution' or 'magnitude'")
    for key in ('minimum_width', 'width_multiple'):
      _require(getattr(self, key) >= 1, f'compression.{key}',
               getattr(self, key), '1 or more')
    _require(self.scratch_steps >= 0, 'compression.scratch_steps',
             self.scratch_steps, '0 or more')


@dataclasses.dataclass(frozen=True)
class QuantizationConfig:
  """Bit widths of the integer filter, signs included."""
  weight_bits: int = 8
  bias_bits: int = 16
  output_bits: int = 8

  def __post_init__(self):
    for key in ('weight_bits', 'bias_bits', 'output_bits'):
      _require(2 <= getattr(self, key) <= 32, f'quantization.{key}',
               getattr(self, key), 'a whole number from 2 to 32')


@dataclasses.dataclass(frozen=True)
class Config:
  """One experiment."""
  data: data_config.DataConfig = data_config.DataConfig()
  codec: data_config.CodecConfig = data_config.CodecConfig()
  network: NetworkConfig = NetworkConfig()
  loss: LossConfig = LossConfig()
  optimizer: OptimizerConfig = OptimizerConfig()
  training: TrainingConfig = TrainingConfig()
  compression: CompressionConfig = CompressionConfig()
  quantization: QuantizationConfig = QuantizationConfig()

  def __post_init__(self):
    largest = self.codec.largest_qp
    _require(max(self.data.qps) <= largest, 'data.qps', self.data.qps,
             f'0 to {largest} with codec.name {self.codec.name!r}')


def from_mapping(mapping: collections.abc.Mapping) -> Config:
  """Builds a Config from a nested mapping (an `ml_collections.ConfigDict`).

  Keys that are left out keep their defaults.

  Raises:
    InputError: for an unknown key (naming the nearest known one), a value of
      the wrong type, or a value out of range.
  """
  return build(Config, mapping)


def build(cls: type, mapping: collections.abc.Mapping, prefix: str = ''):
  """Builds one frozen dataclass from a mapping; see `from_mapping`.

  Args:
    cls: of the result; its groups are dataclasses too.
    mapping: keys to values.
    prefix: of the keys in messages, with its dot.

  Raises:
    InputError: see `from_mapping`.
  """
  plain = _plain(cls, mapping, prefix)
  try:
    return dacite.from_dict(cls, plain,
                            config=dacite.Config(strict=True, cast=[tuple]))
  except dacite.WrongTypeError as error:
    wanted = getattr(error.field_type, '__name__', None)
    if typing.get_args(error.field_type) or wanted is None:
      wanted = str(error.field_type)
    raise errors.InputError(
        f'config key {prefix}{error.field_path}: got {error.value!r}, '
        f'expected {wanted}') from error


def _plain(cls, mapping, prefix):
  """Checks the keys; ints become floats where a float is meant."""
  if not hasattr(mapping, 'items'):
    raise errors.InputError(
        f'config key {prefix[:-1]}: got {mapping!r}, expected a group of keys')
  hints = typing.get_type_hints(cls)
  values = {}
  for key, value in mapping.items():
    if key not in hints:
      nearest = difflib.get_close_matches(key, hints, n=1, cutoff=0.0)[0]
      raise errors.InputError(
          f'config key {prefix}{key} is unknown; nearest: {prefix}{nearest}')
    hint = hints[key]
    if dataclasses.is_dataclass(hint):
      value = _plain(hint, value, f'{prefix}{key}.')
    elif isinstance(value, bool):
      # To Python True is a whole number; to a reader of a config it is not.
      if hint is not bool:
        raise errors.InputError(
            f'config key {prefix}{key}: got {value!r}, expected '
            f'{getattr(hint, "__name__", hint)}')
    elif typing.get_origin(hint) is tuple and not isinstance(
        value, (list, tuple)):
      raise errors.InputError(
          f'config key {prefix}{key}: got {value!r}, expected a list of values')
    elif isinstance(value, int) and (
        hint is float or float in typing.get_args(hint)):
      value = float(value)
    values[key] = value
  return values
