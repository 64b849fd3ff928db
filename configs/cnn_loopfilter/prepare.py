"""Training pairs of the loop filter (arXiv:1805.06121) from x265, all intra.

    python scripts/cnn_loopfilter/prepare_frames.py \
        --config=configs/cnn_loopfilter/prepare.py \
        --input=FOLDER --output=runs/pairs

A picture of 512x512 takes half a second on two CPU cores at the four QPs and
leaves about 1.5 MB. Patches are the paper's 35x35. Other codecs:
`--config.codec.name=x264` or `svtav1`, with `--config.codec.preset=...` (else
medium, 4 for SVT-AV1), or programs, as in vtm.py.
"""

import ml_collections


def get_config():
  """Returns the experiment's configuration."""
  config = ml_collections.ConfigDict()
  config.data = {'qps': (22, 27, 32, 37), 'patch_size': 35, 'stride': 35,
                     'chroma_stride': 25, 'depth': 8, 'shuffle_seed': 0}
  config.codec = {'name': 'x265'}
  return config
