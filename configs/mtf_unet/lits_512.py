"""LiTS at 512x512x512 voxels: liver and lesions in CT (arXiv:1909.03108).

The paper's headline: 16 rows x 16 columns for x and y, so that 256 processors
share one volume, and two cores in each, which share the batch. A core holds 16
blocks (half the batch of 32) of 32 x 32 x 512 voxels: 3.3 GiB of convolution
outputs in bfloat16. One volume on one core would need 53.5 GiB.

  python scripts/mtf_unet/prepare_volumes.py \
      --config=configs/mtf_unet/lits_512.py --input=LITS --data_dir=PREPARED
  python scripts/mtf_unet/train.py --config=configs/mtf_unet/lits_512.py \
      --mode=train --data_dir=PREPARED --model_dir=MODEL

LITS is a folder of volume-N.nii and segmentation-N.nii (131 scans).

Expected time and Dice: unknown. This was never trained here, for want of
512 cores and of the data; a test builds its graph and checks every shape.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the experiment."""
  return ml_collections.ConfigDict({
      'data': {
          'size': (512, 512, 512),
          'num_classes': 3,
          'fit': 'resize',
          'normalization': 'hounsfield',
          # 131 volumes are 88 GB with their labels: read from disk.
          'cache': False,
      },
      'mesh': {
          'mesh_shape': 'rows:16,columns:16,cores:2',
          'layout': 'batch:cores,x:rows,y:columns',
      },
      # The rest, batch of 32 included: the defaults, which are the reference's.
      'network': {'activation_dtype': 'bfloat16'},
  })
