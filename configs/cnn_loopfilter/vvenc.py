"""VVC by VVenC as the codec, all intra, through FFmpeg.

  python scripts/cnn_loopfilter/evaluate.py \
      --config=configs/cnn_loopfilter/vvenc.py:FFMPEG \
      --input=PICTURES --filter=dfp=EXPORTED --output=RESULTS

FFMPEG is an `ffmpeg` that has libvvenc and decodes VVC (FFmpeg 7.1 or newer;
the program inside the PyPI package imageio-ffmpeg 0.8.1 does). Run with that
one.

Every frame is an intra frame with the slice QP that was asked for (VVenC lowers
that of intra frames by 3 otherwise). Internally 8 bits, as the input: with 10
the filter would see a picture that was rounded behind the loop. Filtering of
the source over time and what depends on it (MCTF, BIM), perceptual QPs and the
search for the deblocking's effect (EncDbOpt) are off throughout, so that the
three ways to filter differ in the filters alone.
"""

import ml_collections

_COMMON = ('IntraQPOffset=0', 'InternalBitDepth={depth}', 'MCTF=0', 'BIM=0',
           'EncDbOpt=0')
_FILTERS_OFF = ('SAO=0', 'ALF=0', 'CCALF=0')
_PICTURE = ('-f', 'rawvideo', '-pix_fmt', 'yuv420p')


def _encoder(ffmpeg, *parameters):
  return (ffmpeg, '-y', '-v', 'error', *_PICTURE, '-s', '{width}x{height}',
          '-r', '30', '-i', '{input}', '-c:v', 'libvvenc', '-preset', 'medium',
          '-qp', '{qp}', '-qpa', '0', '-g', '1',
          '-vvenc-params', ':'.join((*_COMMON, *parameters)),
          '-f', 'vvc', '{bitstream}')


def get_config(ffmpeg: str = 'ffmpeg') -> ml_collections.ConfigDict:
  """Returns the experiment.

  Args:
    ffmpeg: the program, by its path or found on PATH.
  """
  return ml_collections.ConfigDict({
      'data': {'qps': (22, 27, 32, 37), 'depth': 8},
      'codec': {
          'name': 'external',
          'label': 'VVenC medium',
          'encode_command': _encoder(
              ffmpeg, 'LoopFilterDisable=1', *_FILTERS_OFF),
          'deblocking_encode_command': _encoder(ffmpeg, *_FILTERS_OFF),
          'all_encode_command': _encoder(ffmpeg, 'SAO=1', 'ALF=1', 'CCALF=1'),
          'decode_command': (ffmpeg, '-y', '-v', 'error', '-f', 'vvc', '-i',
                             '{bitstream}', *_PICTURE, '{output}'),
      },
  })
