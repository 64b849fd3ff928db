"""LiTS at 256x256x256 voxels: liver and lesions in CT (arXiv:1909.03108).

The settings of the reference code. Its mesh for this size is not known; 8 x 8
blocks of 32 x 32 x 256 voxels lie between those of 128 and of 512, and keep the
16 blocks of a core to 1.7 GiB of convolution outputs in bfloat16, where the
4 x 4 mesh of 128 would need 6.7 GiB.

  python scripts/mtf_unet/prepare_volumes.py \
      --config=configs/mtf_unet/lits_256.py --input=LITS --data_dir=PREPARED
  python scripts/mtf_unet/train.py --config=configs/mtf_unet/lits_256.py \
      --mode=train --data_dir=PREPARED --model_dir=MODEL

LITS is a folder of volume-N.nii and segmentation-N.nii (131 scans).

Expected time and Dice: unknown. This was never trained here, for want of
128 cores and of the data; a test builds its graph and checks every shape.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the experiment."""
  return ml_collections.ConfigDict({
      'data': {
          'size': (256, 256, 256),
          'num_classes': 3,
          'fit': 'resize',
          'normalization': 'hounsfield',
          # 131 volumes are 11 GB with their labels: read from disk.
          'cache': False,
      },
      'mesh': {
          'mesh_shape': 'rows:8,columns:8,cores:2',
          'layout': 'batch:cores,x:rows,y:columns',
      },
      # The rest, batch of 32 included: the defaults, which are the reference's.
      'network': {'activation_dtype': 'bfloat16'},
  })
