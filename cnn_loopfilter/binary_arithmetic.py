"""An adaptive binary arithmetic coder in exact integers.

The interval arithmetic is the one of Witten, Neal and Cleary, "Arithmetic
coding for data compression" (CACM 30(6), 1987): the interval [low, high] of 32
bits is divided in the proportion of a bit's probability, and leading bits on
which both ends agree are written. Probabilities live in contexts, as in
HEVC's CABAC (ITU-T H.265, 9.3), but are counted in 16 bits. Python's own
integers alone are used, so every machine writes the same bytes.
"""

from collections.abc import Sequence
import math

# A probability p stands for p / 2^16.
_PROBABILITY_BITS = 16
_EVEN = 2 ** (_PROBABILITY_BITS - 1)
# The window of a settled context: it forgets what lies some 2^5 bits back.
_SLOWEST = 5

_CODE_BITS = 32
_TOP = 2 ** _CODE_BITS - 1
_HALF = 2 ** (_CODE_BITS - 1)
_QUARTER = 2 ** (_CODE_BITS - 2)


class Contexts:
  """Probabilities that a bit is 1, each learnt from the bits before.

  After n bits p moves towards the next one by 2^-s of the distance, with
  s = min(5, floor(log2(n + 2))): fast at first, so that the few bits of a
  frame already count.

  Args:
    count: of contexts; all begin at one half.
  """

  def __init__(self, count: int):
    self._probabilities = [_EVEN] * count
    self._seen = [0] * count

  def copy(self) -> 'Contexts':
    """Returns the same state, to try something on."""
    other = Contexts(0)
    other._probabilities = list(self._probabilities)
    other._seen = list(self._seen)
    return other

  def probability(self, context: int) -> int:
    """Returns that of a 1 times 2^16, 1 to 2^16 - 1."""
    return self._probabilities[context]

  def cost(self, bit: int, context: int) -> float:
    """Returns about how many bits coding one bit takes: -log2 of its p."""
    one = self._probabilities[context]
    return _PROBABILITY_BITS - math.log2(
        one if bit else 2 ** _PROBABILITY_BITS - one)

  def learn(self, bit: int, context: int) -> None:
    """Moves a context towards the bit that was coded with it."""
    rate = min(_SLOWEST, (self._seen[context] + 2).bit_length() - 1)
    one = self._probabilities[context]
    # A shifted distance is less than the distance: p never gets to 0 or 2^16.
    if bit:
      one += ((2 ** _PROBABILITY_BITS - one) >> rate)
    else:
      one -= one >> rate
    self._probabilities[context] = one
    self._seen[context] += 1


def _split(low: int, high: int, one: int) -> int:
  """Returns the last value of the part that stands for 1."""
  return low + ((high - low) * one >> _PROBABILITY_BITS)


class Encoder:
  """Bits in, bytes out.

  Args:
    contexts: of the bits; taught on the way.
  """

  def __init__(self, contexts: Contexts):
    self._contexts = contexts
    self._low, self._high = 0, _TOP
    # Bits that will be the opposite of the next one written.
    self._pending = 0
    self._bits = []

  def encode(self, bit: int, context: int) -> None:
    """Codes one bit, 0 or 1."""
    split = _split(self._low, self._high, self._contexts.probability(context))
    if bit:
      self._high = split
    else:
      self._low = split + 1
    self._contexts.learn(bit, context)
    while True:
      if self._high < _HALF:
        self._write(0)
      elif self._low >= _HALF:
        self._write(1)
        self._low, self._high = self._low - _HALF, self._high - _HALF
      elif self._low >= _QUARTER and self._high < 3 * _QUARTER:
        self._pending += 1
        self._low, self._high = self._low - _QUARTER, self._high - _QUARTER
      else:
        return
      self._low, self._high = 2 * self._low, 2 * self._high + 1

  def _write(self, bit):
    self._bits += [bit] + [1 - bit] * self._pending
    self._pending = 0

  def finish(self) -> bytes:
    """Returns what was coded, in as few bytes as tell it; call it once."""
    # The decoder reads zeros past the end. Half of the range lies inside the
    # interval, and so does 0 where nothing but zeros was written.
    if self._low or self._pending:
      self._write(1)
    return pack_bits(self._bits).rstrip(b'\0')


class Decoder:
  """The way back; past the end of the bytes it reads zeros.

  Args:
    data: what `Encoder.finish` gave. Any bytes decode to some bits.
    contexts: in the state that the encoder's were in at its start.
  """

  def __init__(self, data: bytes, contexts: Contexts):
    self._contexts = contexts
    self._low, self._high = 0, _TOP
    self._data, self._position = data, _CODE_BITS
    self._code = int.from_bytes(
        data[:_CODE_BITS // 8].ljust(_CODE_BITS // 8, b'\0'), 'big')

  def decode(self, context: int) -> int:
    """Returns the next bit, 0 or 1."""
    split = _split(self._low, self._high, self._contexts.probability(context))
    bit = int(self._code <= split)
    if bit:
      self._high = split
    else:
      self._low = split + 1
    self._contexts.learn(bit, context)
    while True:
      if self._high < _HALF:
        offset = 0
      elif self._low >= _HALF:
        offset = _HALF
      elif self._low >= _QUARTER and self._high < 3 * _QUARTER:
        offset = _QUARTER
      else:
        return bit
      self._low = 2 * (self._low - offset)
      self._high = 2 * (self._high - offset) + 1
      self._code = 2 * (self._code - offset) + self._next_bit()

  def _next_bit(self):
    index, place = divmod(self._position, 8)
    self._position += 1
    if index >= len(self._data):
      return 0
    return self._data[index] >> (7 - place) & 1


def pack_bits(bits: Sequence[int]) -> bytes:
  """Packs bits into bytes, the first one highest; zeros fill the last."""
  whole = list(bits) + [0] * (-len(bits) % 8)
  return bytes(sum(bit << (7 - place) for place, bit in
                   enumerate(whole[start:start + 8]))
               for start in range(0, len(whole), 8))
