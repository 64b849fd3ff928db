"""What the training pairs are made of: two groups of the config."""

import dataclasses

from cnn_loopfilter import errors
from cnn_loopfilter import frames

# Largest QP, on HEVC's scale but for programs, which have their own.
_LARGEST_QP = {'x265': 51, 'x264': 51, 'svtav1': 49, 'external': 63}


def _require(condition, key, came, expected):
  if not condition:
    raise errors.InputError(
        f'config key {key}: got {came!r}, expected {expected}')


@dataclasses.dataclass(frozen=True)
class CodecConfig:
  """The codec that makes reconstructions.

  The words of a command may hold {input}, {output}, {bitstream}, {width},
  {height}, {depth}, {qp} and {frames}; each word stays one argument, and no
  shell reads them. The encoder reads the planar YUV file {input} and writes
  {bitstream}; the decoder reads {bitstream} and writes {output}.
  """
  # 'x265', 'x264', 'svtav1' (built in) or 'external' (the commands below).
  name: str = 'x265'
  # Of the codec: presets move bits and PSNR at equal QP, so results name it.
  # '' is medium, and 4 for svtav1.
  preset: str = ''
  # What tables call the external codec and its settings.
  label: str = ''
  # Encoder with its loop filters off.
  encode_command: tuple[str, ...] = ()
  # Encoder with deblocking alone, and with all filters; () where unwanted.
  deblocking_encode_command: tuple[str, ...] = ()
  all_encode_command: tuple[str, ...] = ()
  decode_command: tuple[str, ...] = ()

  def __post_init__(self):
    _require(self.name in _LARGEST_QP, 'codec.name', self.name,
             f'one of {", ".join(_LARGEST_QP)}')
    if self.name == 'external':
      for key in ('encode_command', 'decode_command'):
        _require(getattr(self, key), f'codec.{key}', getattr(self, key),
                 "a program and its arguments with codec.name 'external'")

  @property
  def largest_qp(self) -> int:
    """QPs go from 0 to this one."""
    return _LARGEST_QP[self.name]


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """Patches of training; defaults are the paper's where it is known."""
  # Quantization parameters at which every frame is coded.
  qps: tuple[int, ...] = (22, 27, 32, 37)
  # Edge of a square patch in samples of its component.
  patch_size: int = 35
  # Distance in samples between neighbouring patches, luma and chroma. Chroma
  # planes have a quarter of the samples; half the distance or so makes luma
  # and chroma patches about equally many.
  stride: int = 35
  chroma_stride: int = 25
  # Bits of a sample.
  depth: int = 8
  # Seed of the order in which patches are written.
  shuffle_seed: int = 0
  # Largest number of patches in one file.
  patches_per_shard: int = 4096

  def __post_init__(self):
    # How far QPs go is the codec's; `config.Config` compares them.
    _require(len(self.qps) > 0 and all(0 <= qp <= 63 for qp in self.qps),
             'data.qps', self.qps, 'one or more of 0 to 63')
    _require(len(set(self.qps)) == len(self.qps), 'data.qps', self.qps,
             'each value once')
    for key in ('patch_size', 'stride', 'chroma_stride', 'patches_per_shard'):
      _require(getattr(self, key) >= 1, f'data.{key}', getattr(self, key),
               '1 or more')
    _require(self.depth in frames.DEPTHS, 'data.depth', self.depth,
             f'one of {", ".join(map(str, frames.DEPTHS))}')
    _require(self.shuffle_seed >= 0, 'data.shuffle_seed', self.shuffle_seed,
             '0 or more')
