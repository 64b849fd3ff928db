"""Codecs that make the reconstructions: by PyAV, others as programs."""

from cnn_loopfilter import data_config
from cnn_loopfilter.codec import base

IN_PROCESS = ('x265', 'x264', 'svtav1')


def from_config(config: data_config.CodecConfig) -> base.Codec:
  """Returns the codec that a config names.

  Raises:
    InputError: if it has no such preset, or this PyAV no such encoder.
  """
  # PyAV is needed for those in process alone.
  if config.name == 'external':
    from cnn_loopfilter.codec import external
    return external.External(config)
  # An empty preset leaves the choice to the codec.
  arguments = [config.preset] if config.preset else []
  if config.name == 'svtav1':
    from cnn_loopfilter.codec import svtav1
    return svtav1.SvtAv1(*arguments)
  if config.name == 'x264':
    from cnn_loopfilter.codec import x264
    return x264.X264(*arguments)
  from cnn_loopfilter.codec import x265
  return x265.X265(*arguments)
