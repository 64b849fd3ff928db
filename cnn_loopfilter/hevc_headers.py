"""The QP of intra pictures out of HEVC's headers (ITU-T H.265, 7.3).

FFmpeg's HEVC decoder exports no quantizers, but each slice of an intra random
access picture tells its own near its start:

  SliceQpY = 26 + init_qp_minus26 + slice_qp_delta                      (7-54)

Read is no more than leads there. Differences that an encoder codes for blocks
within a slice (cu_qp_delta) lie in the arithmetically coded data and are not
seen. Names are the standard's.
"""

from collections.abc import Iterator
import dataclasses

# nal_unit_type.
_FIRST_IRAP, _LAST_IRAP = 16, 23
_IDR = (19, 20)
_SPS, _PPS = 33, 34
# Of 16 bits, and of any number.
_LEAST_QP, _LARGEST_QP = -48, 51
# Enough for the headers; what follows is not looked at.
_MOST_BYTES = 4096


class _Damaged(ValueError):
  """The bits end, or a number is out of range."""


class _Bits:
  """Reads bits, the highest first."""

  def __init__(self, data: bytes):
    self._value = int.from_bytes(data, 'big')
    self._left = 8 * len(data)

  def u(self, count: int) -> int:
    """Returns an unsigned number of `count` bits."""
    self._left -= count
    if self._left < 0:
      raise _Damaged
    return self._value >> self._left & ((1 << count) - 1)

  def ue(self) -> int:
    """Returns an unsigned Exp-Golomb number (9.2)."""
    zeros = 0
    while not self.u(1):
      zeros += 1
      if zeros > 32:
        raise _Damaged
    return (1 << zeros) - 1 + self.u(zeros)

  def se(self) -> int:
    """Returns a signed Exp-Golomb number (9.2.2)."""
    number = self.ue()
    return (number + 1) // 2 if number % 2 else -(number // 2)


@dataclasses.dataclass(frozen=True)
class _SequenceSet:
  """What a slice header needs of an SPS."""
  separate_planes: bool
  has_chroma: bool
  # CTUs of a picture: the bits of an address follow from it.
  ctus: int
  poc_bits: int
  sao: bool
  # NumDeltaPocs of each short-term reference picture set.
  delta_pocs: tuple[int, ...]
  long_term: bool
  long_term_count: int
  temporal_mvp: bool


@dataclasses.dataclass(frozen=True)
class _PictureSet:
  """What a slice header needs of a PPS."""
  sps_id: int
  dependent_slices: bool
  output_flag: bool
  extra_bits: int
  init_qp: int


def _nal_units(data: bytes) -> Iterator[tuple[int, _Bits]]:
  """Yields type and content of the NAL units of the base layer (Annex B)."""
  for unit in data.split(b'\0\0\1')[1:]:
    if len(unit) < 3 or (unit[0] & 1) << 5 | unit[1] >> 3:
      continue
    # emulation_prevention_three_byte.
    content = unit[2:_MOST_BYTES].replace(b'\0\0\3', b'\0\0')
    yield unit[0] >> 1 & 63, _Bits(content)


class Headers:
  """Keeps the parameter sets of a stream and reads its pictures' QPs."""

  def __init__(self):
    self._sps, self._pps = {}, {}

  def qp_of(self, packet: bytes) -> int | None:
    """Returns the QP of an intra picture.

    Args:
      packet: NAL units of one picture with start codes, parameter sets before
        it where they change.

    Returns:
      The mean over its slices to the nearest integer, halves up; None where
      it has none or they cannot be read.
    """
    qps = []
    try:
      for kind, bits in _nal_units(packet):
        if kind == _SPS:
          number, sps = _read_sps(bits)
          self._sps[number] = sps
        elif kind == _PPS:
          number, pps = _read_pps(bits)
          self._pps[number] = pps
        elif _FIRST_IRAP <= kind <= _LAST_IRAP:
          qps += self._read_slice(kind, bits)
    except (_Damaged, KeyError, IndexError):
      return None
    if not qps or not all(_LEAST_QP <= qp <= _LARGEST_QP for qp in qps):
      return None
    return (2 * sum(qps) + len(qps)) // (2 * len(qps))

  def _read_slice(self, kind, bits):
    """Returns [SliceQpY], or [] of a dependent slice segment."""
    first = bits.u(1)
    bits.u(1)  # no_output_of_prior_pics_flag
    pps = self._pps[bits.ue()]
    sps = self._sps[pps.sps_id]
    if not first:
      if pps.dependent_slices and bits.u(1):
        return []
      bits.u((sps.ctus - 1).bit_length())
    bits.u(pps.extra_bits)
    bits.ue()  # slice_type
    bits.u(pps.output_flag + 2 * sps.separate_planes)
    if kind not in _IDR:
      _skip_reference_sets(bits, sps)
    if sps.sao:
      bits.u(1 + (sps.has_chroma and not sps.separate_planes))
    return [pps.init_qp + bits.se()]


def _skip_reference_sets(bits, sps):
  """Goes past the order count and the reference pictures of a slice."""
  bits.u(sps.poc_bits)
  count = len(sps.delta_pocs)
  if not bits.u(1):
    _read_reference_set(bits, count, sps.delta_pocs, of_slice=True)
  elif count > 1:
    bits.u((count - 1).bit_length())
  if sps.long_term:
    of_sps = bits.ue() if sps.long_term_count else 0
    for number in range(of_sps + _at_most(bits.ue(), 32)):
      if number < of_sps:
        bits.u((sps.long_term_count - 1).bit_length())
      else:
        bits.u(sps.poc_bits + 1)
      if bits.u(1):
        bits.ue()  # delta_poc_msb_cycle_lt
  bits.u(int(sps.temporal_mvp))


def _at_most(number, largest):
  if number > largest:
    raise _Damaged
  return number


def _read_reference_set(bits, index, delta_pocs, *, of_slice=False):
  """Reads st_ref_pic_set (7.3.7); returns its NumDeltaPocs."""
  if index and bits.u(1):
    back = bits.ue() + 1 if of_slice else 1
    bits.u(1)  # delta_rps_sign
    bits.ue()  # abs_delta_rps_minus1
    count = 0
    for _ in range(delta_pocs[index - back] + 1):
      # used_by_curr_pic_flag, else use_delta_flag.
      count += bits.u(1) or bits.u(1)
    return count
  count = _at_most(bits.ue(), 16) + _at_most(bits.ue(), 16)
  for _ in range(count):
    bits.ue()
    bits.u(1)
  return count


def _read_reference_sets(bits):
  """Returns NumDeltaPocs of each set of an SPS."""
  delta_pocs = []
  for index in range(_at_most(bits.ue(), 64)):
    delta_pocs.append(_read_reference_set(bits, index, delta_pocs))
  return tuple(delta_pocs)


def _read_pps(bits):
  number, sps_id = bits.ue(), bits.ue()
  dependent, output_flag = bits.u(1), bits.u(1)
  extra_bits = bits.u(3)
  bits.u(2)  # sign_data_hiding_enabled_flag, cabac_init_present_flag
  bits.ue()
  bits.ue()  # num_ref_idx_l0_default_active_minus1, l1
  return number, _PictureSet(sps_id, bool(dependent), bool(output_flag),
                             extra_bits, 26 + bits.se())


def _read_sps(bits):
  bits.u(4)
  sub_layers = bits.u(3)
  bits.u(1)
  _skip_profile(bits, sub_layers)
  number, chroma = bits.ue(), bits.ue()
  separate = bool(bits.u(1)) if chroma == 3 else False
  width, height = bits.ue(), bits.ue()
  if bits.u(1):
    for _ in range(4):  # The conformance window.
      bits.ue()
  bits.ue()
  bits.ue()  # bit_depth_luma_minus8, bit_depth_chroma_minus8
  poc_bits = _at_most(bits.ue(), 12) + 4
  for _ in range(sub_layers + 1 if bits.u(1) else 1):
    for _ in range(3):
      bits.ue()
  log2_ctu = _at_most(bits.ue() + 3 + bits.ue(), 6)
  for _ in range(4):
    bits.ue()
  if bits.u(1) and bits.u(1):
    _skip_scaling_lists(bits)
  bits.u(1)  # amp_enabled_flag
  sao = bool(bits.u(1))
  if bits.u(1):
    bits.u(8)
    bits.ue()
    bits.ue()
    bits.u(1)  # The PCM settings.
  delta_pocs = _read_reference_sets(bits)
  long_term, count = bool(bits.u(1)), 0
  if long_term:
    count = _at_most(bits.ue(), 32)
    bits.u(count * (poc_bits + 1))
  ctus = -(-width >> log2_ctu) * -(-height >> log2_ctu)
  return number, _SequenceSet(
      separate, chroma != 0, ctus, poc_bits, sao, delta_pocs, long_term,
      count, bool(bits.u(1)))


def _skip_profile(bits, sub_layers):
  """Goes past profile_tier_level (7.3.3)."""
  bits.u(96)
  present = [(bits.u(1), bits.u(1)) for _ in range(sub_layers)]
  if sub_layers:
    bits.u(2 * (8 - sub_layers))
  for profile, level in present:
    bits.u(88 * profile + 8 * level)


def _skip_scaling_lists(bits):
  """Goes past scaling_list_data (7.3.4)."""
  for size in range(4):
    for _ in range(0, 6, 3 if size == 3 else 1):
      if not bits.u(1):
        bits.ue()
        continue
      if size > 1:
        bits.se()
      for _ in range(min(64, 1 << (4 + 2 * size))):
        bits.se()
