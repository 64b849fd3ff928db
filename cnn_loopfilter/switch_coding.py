"""How the on/off flags of a frame are written: syntax, contexts, two coders.

For each component, Y first, one mode: the filter is on in the whole plane, off
in it, or chosen block by block; in the last case one flag for each block
follows, row by row. docs/clf-format.md specifies it bit by bit.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import typing

import numpy as np

from cnn_loopfilter import binary_arithmetic
from cnn_loopfilter import errors

# bool [rows, columns] for each component: True where the filter is on.
Switches = tuple[np.ndarray, ...]

CODINGS = ('plain', 'arithmetic')

# Contexts of one component: is it on as a whole; if not, is it off as a
# whole; a block's flag by how many of its left and upper neighbours are on.
_WHOLE, _NONE, _BLOCK = 0, 1, 2
_CONTEXTS = 5
_COMPONENTS = 3


class Model(typing.Protocol):
  """What a flag costs, and what coding it teaches."""

  def cost(self, bit: int, context: int) -> float:
    """Returns bits that one bit takes."""

  def learn(self, bit: int, context: int) -> None:
    """Takes note of a coded bit."""

  def copy(self) -> 'Model':
    """Returns the same state, to try something on."""


def flags(component: int, switches: np.ndarray) -> Iterator[tuple[int, int]]:
  """Yields (bit, context) of one component in the order of coding.

  Args:
    component: 0 Y, 1 U, 2 V.
    switches: bool [rows, columns].
  """
  first = component * _CONTEXTS
  whole = bool(switches.all())
  yield int(whole), first + _WHOLE
  if whole:
    return
  none = not switches.any()
  yield int(none), first + _NONE
  if none:
    return
  for row, column in np.ndindex(switches.shape):
    yield (int(switches[row, column]),
           block_context(component, switches, row, column))


def block_context(component: int, switches: np.ndarray, row: int,
                  column: int) -> int:
  """Returns a block's context; beyond the border neighbours count as on."""
  left = bool(switches[row, column - 1]) if column else True
  above = bool(switches[row - 1, column]) if row else True
  return component * _CONTEXTS + _BLOCK + left + above


def _read(decode, component, shape):
  """The way back from `flags`; `decode` returns the next bit of a context."""
  first = component * _CONTEXTS
  if decode(first + _WHOLE):
    return np.ones(shape, bool)
  switches = np.zeros(shape, bool)
  if decode(first + _NONE):
    return switches
  for row, column in np.ndindex(shape):
    switches[row, column] = decode(
        block_context(component, switches, row, column))
  return switches


class Arithmetic:
  """Codes frames by the adaptive arithmetic coder.

  What was learnt from a frame serves the next one, so frames are decoded in
  order from the first.
  """

  def __init__(self):
    self.model = binary_arithmetic.Contexts(_COMPONENTS * _CONTEXTS)

  def pack(self, switches: Switches) -> bytes:
    """Codes the switches of one frame."""
    encoder = binary_arithmetic.Encoder(self.model)
    for component, one in enumerate(switches):
      for bit, context in flags(component, one):
        encoder.encode(bit, context)
    return encoder.finish()

  def unpack(self, data: bytes, shape: tuple[int, int],
             components: int) -> Switches:
    """Decodes the switches of one frame.

    Args:
      data: of `pack`; other bytes give some switches.
      shape: rows and columns of blocks.
      components: 1 or 3.
    """
    decoder = binary_arithmetic.Decoder(data, self.model)
    return tuple(_read(decoder.decode, component, shape)
                 for component in range(components))


class _OneBit:
  """Every flag takes one bit and teaches nothing."""

  def cost(self, bit: int, context: int) -> float:
    del bit, context
    return 1.0

  def learn(self, bit: int, context: int) -> None:
    del bit, context

  def copy(self) -> '_OneBit':
    return self


class Plain:
  """Writes each flag as a bit; frames stand alone."""

  def __init__(self):
    self.model = _OneBit()

  def pack(self, switches: Switches) -> bytes:
    """Codes the switches of one frame; see `Arithmetic`."""
    return binary_arithmetic.pack_bits([
        bit for component, one in enumerate(switches)
        for bit, _ in flags(component, one)])

  def unpack(self, data: bytes, shape: tuple[int, int],
             components: int) -> Switches:
    """Decodes the switches of one frame; see `Arithmetic`.

    Raises:
      InputError: if `data` is not exactly as long as its flags.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8)).tolist()
    left = iter(bits)

    def decode(context):
      del context
      try:
        return next(left)
      except StopIteration:
        raise errors.InputError(
            f'switches: got {len(data)} bytes, expected more for a grid of '
            f'{shape[0]}x{shape[1]} blocks') from None

    switches = tuple(_read(decode, component, shape)
                     for component in range(components))
    unused = list(left)
    if len(unused) > 7 or any(unused):
      raise errors.InputError(
          f'switches: got {len(data)} bytes, {len(unused)} bits more than a '
          f'grid of {shape[0]}x{shape[1]} blocks takes')
    return switches


Coder = Arithmetic | Plain


def make(coding: str) -> Coder:
  """Makes a coder in its first state.

  Raises:
    InputError: for a coding that is not one of CODINGS.
  """
  if coding not in CODINGS:
    raise errors.InputError(f'coding: got {coding!r}, expected one of '
                            f'{", ".join(CODINGS)}')
  return Arithmetic() if coding == 'arithmetic' else Plain()


def cost(model: Model, coded: Iterable[tuple[int, int]]) -> float:
  """Returns the bits that flags take one after the other."""
  trial, bits = model.copy(), 0.0
  for bit, context in coded:
    bits += trial.cost(bit, context)
    trial.learn(bit, context)
  return bits
