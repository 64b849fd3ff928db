"""A narrow network on a handful of pictures: the whole way in minutes.

  python scripts/cnn_loopfilter/prepare_frames.py \
      --config=configs/cnn_loopfilter/small.py --input=PICTURES --output=PATCHES
  python scripts/cnn_loopfilter/train.py \
      --config=configs/cnn_loopfilter/small.py --mode=train \
      --data_dir=PATCHES --model_dir=MODEL
  python scripts/cnn_loopfilter/train.py \
      --config=configs/cnn_loopfilter/small.py --mode=export \
      --model_dir=MODEL --output=FILTER.npz

About half a minute on two cores; shows that all parts fit together, the
filter's gain is small.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the experiment."""
  return ml_collections.ConfigDict({
      'data': {
          'qps': (22, 27, 32, 37),
          'patch_size': 32,
          'stride': 32,
          'chroma_stride': 24,
      },
      'network': {'filters': (16,) * 4, 'batch_norm_momentum': 0.95},
      'loss': {'balance': 'class', 'lambda_s': 1e-5},
      'optimizer': {'learning_rate': 4e-3, 'warmup_steps': 20},
      'training': {
          'steps': 400,
          'batch_size': 16,
          'save_every_steps': 200,
          'evaluate_every_steps': 400,
          'ema_decay': 0.98,
      },
  })
