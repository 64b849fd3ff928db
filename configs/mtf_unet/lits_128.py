"""LiTS at 128x128x128 voxels: liver and lesions in CT (arXiv:1909.03108).

The settings of the reference code, its mesh included: 4 x 4 blocks of 32 x 32 x
128 voxels, and the batch of 32 over the two cores of each processor. A core
holds 16 such blocks: 0.8 GiB of convolution outputs in bfloat16.

  python scripts/mtf_unet/prepare_volumes.py \
      --config=configs/mtf_unet/lits_128.py --input=LITS --data_dir=PREPARED
  python scripts/mtf_unet/train.py --config=configs/mtf_unet/lits_128.py \
      --mode=train --data_dir=PREPARED --model_dir=MODEL

LITS is a folder of volume-N.nii and segmentation-N.nii (131 scans).

Expected time and Dice: unknown. This was never trained here, for want of
32 cores and of the data; a test builds its graph and checks every shape.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the experiment."""
  return ml_collections.ConfigDict({
      'data': {
          'size': (128, 128, 128),
          'num_classes': 3,
          'fit': 'resize',
          'normalization': 'hounsfield',
          # 131 volumes are 1.4 GB with their labels: they fit.
          'cache': True,
      },
      'mesh': {
          'mesh_shape': 'rows:4,columns:4,cores:2',
          'layout': 'batch:cores,x:rows,y:columns',
      },
      # The rest, batch of 32 included: the defaults, which are the reference's.
      'network': {'activation_dtype': 'bfloat16'},
  })
