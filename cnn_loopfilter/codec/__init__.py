"""Codecs that make the reconstructions: x265 in process, others as programs."""

from cnn_loopfilter import data_config
from cnn_loopfilter.codec import base


def from_config(config: data_config.CodecConfig) -> base.Codec:
  """Returns the codec that a config names."""
  # PyAV is needed for x265 alone.
  if config.name == 'external':
    from cnn_loopfilter.codec import external
    return external.External(config)
  from cnn_loopfilter.codec import x265
  return x265.X265(config.preset)
