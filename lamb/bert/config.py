"""The configuration of a BERT network, read from google-research/bert's JSON.

No TensorFlow here.
"""

from collections.abc import Mapping
import dataclasses
import json
import os
from typing import Any

from lamb import errors

_COUNTS = ('vocab_size', 'hidden_size', 'num_hidden_layers',
           'num_attention_heads', 'intermediate_size',
           'max_position_embeddings', 'type_vocab_size')
_SHARES = ('hidden_dropout_prob', 'attention_probs_dropout_prob')
_ACTIVATIONS = ('gelu', 'relu', 'tanh', 'linear')
# Published files hold these beside the network's own keys; they say nothing
# that changes it.
_IGNORED = ('architectures', 'directionality', 'model_type', 'pad_token_id',
            'layer_norm_eps', 'pooler_fc_size', 'pooler_num_attention_heads',
            'pooler_num_fc_layers', 'pooler_size_per_head', 'pooler_type')


@dataclasses.dataclass(frozen=True)
class BertConfig:
  """Sizes of the network, named as in the JSON.

  Attributes:
    vocab_size: Tokens in the vocabulary.
    hidden_size: Width of the encoder.
    num_hidden_layers: Layers of the encoder.
    num_attention_heads: Heads of a layer; they divide the width.
    intermediate_size: Width of the feed-forward layer.
    hidden_act: `gelu` (the tanh form of the published code), `relu`, `tanh`
      or `linear`.
    hidden_dropout_prob: Share of hidden units dropped, in [0, 1).
    attention_probs_dropout_prob: Share of attention dropped, in [0, 1).
    max_position_embeddings: Longest sequence.
    type_vocab_size: Kinds of segments.
    initializer_range: Standard deviation of the truncated normal start.
  """

  vocab_size: int
  hidden_size: int = 768
  num_hidden_layers: int = 12
  num_attention_heads: int = 12
  intermediate_size: int = 3072
  hidden_act: str = 'gelu'
  hidden_dropout_prob: float = 0.1
  attention_probs_dropout_prob: float = 0.1
  max_position_embeddings: int = 512
  type_vocab_size: int = 16
  initializer_range: float = 0.02

  def __post_init__(self):
    for name in _COUNTS:
      value = getattr(self, name)
      if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise errors.InputError(
            f'{name}: got {value!r}, expected a whole number from 1.')
    for name in _SHARES:
      if not _is_number(getattr(self, name)) or not (
          0 <= getattr(self, name) < 1):
        raise errors.InputError(
            f'{name}: got {getattr(self, name)!r}, expected a number in '
            '[0, 1).')
    if not _is_number(self.initializer_range) or not self.initializer_range > 0:
      raise errors.InputError(
          f'initializer_range: got {self.initializer_range!r}, expected a '
          'number above 0.')
    if self.hidden_size % self.num_attention_heads:
      raise errors.InputError(
          f'hidden_size: got {self.hidden_size}, expected a multiple of '
          f'num_attention_heads={self.num_attention_heads}.')
    if self.hidden_act not in _ACTIVATIONS:
      raise errors.InputError(
          f'hidden_act: got {self.hidden_act!r}, expected one of '
          f'{", ".join(_ACTIVATIONS)}.')

  @property
  def head_size(self) -> int:
    """Width of one attention head."""
    return self.hidden_size // self.num_attention_heads

  def without_dropout(self) -> 'BertConfig':
    """Returns the network as it is evaluated."""
    return dataclasses.replace(
        self, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def from_mapping(values: Mapping[str, Any]) -> BertConfig:
  """Makes a configuration from the JSON's keys and values.

  Raises:
    InputError: A key is unknown or missing, or a value is out of its range.
  """
  known = [field.name for field in dataclasses.fields(BertConfig)]
  unknown = sorted(set(values) - set(known) - set(_IGNORED))
  if unknown:
    raise errors.InputError(
        f'unknown key {unknown[0]!r}, expected {", ".join(known)}.')
  if 'vocab_size' not in values:
    raise errors.InputError('vocab_size: missing, expected a whole number.')
  return BertConfig(**{key: values[key] for key in known if key in values})


def read(path: str | os.PathLike) -> BertConfig:
  """Reads `bert_config.json`.

  Raises:
    InputError: The file is no JSON object, or `from_mapping` refuses it.
    OSError: It cannot be read.
  """
  with open(path, 'rb') as stream:
    content = stream.read()
  try:
    values = json.loads(content.decode('utf-8'))
  except ValueError as error:
    raise errors.InputError(f'{path}: no JSON ({error}).') from error
  if not isinstance(values, dict):
    raise errors.InputError(
        f'{path}: got a JSON {type(values).__name__}, expected an object.')
  try:
    return from_mapping(values)
  except errors.InputError as error:
    raise errors.InputError(f'{path}: {error}') from error


def check_vocabulary(config: BertConfig, tokens: int, path: str) -> None:
  """Raises InputError where the vocabulary has tokens the network lacks.

  A network may have more rows than there are tokens: Google pads some.
  """
  if tokens > config.vocab_size:
    raise errors.InputError(
        f'{path}: {tokens} tokens, but the network has vocab_size='
        f'{config.vocab_size}; expected the vocabulary it was made for.')


def _is_number(value):
  return isinstance(value, (int, float)) and not isinstance(value, bool)
