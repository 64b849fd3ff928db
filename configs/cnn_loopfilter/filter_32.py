"""8x32: half as wide as filter_64.py, to compare one model with one per QP.

  for NAME in 22 27 32 37 all; do
    QPS=${NAME/all/22,27,32,37}
    python scripts/cnn_loopfilter/prepare_frames.py --qps=$QPS \
        --config=configs/cnn_loopfilter/filter_32.py \
        --input=PICTURES --output=PATCHES/$NAME
    python scripts/cnn_loopfilter/train.py --mode=train \
        --config=configs/cnn_loopfilter/filter_32.py \
        --data_dir=PATCHES/$NAME --model_dir=MODELS/$NAME
    python scripts/cnn_loopfilter/train.py --mode=export \
        --config=configs/cnn_loopfilter/filter_32.py \
        --model_dir=MODELS/$NAME --output=MODELS/$NAME.npz
  done

and evaluate.py compares them with --filter=one=MODELS/all.npz, and
NAME=22:MODELS/22.npz+27:MODELS/27.npz+... (docs/loopfilter.md has the result).
3,000 steps take three minutes on two quick cores.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the experiment."""
  return ml_collections.ConfigDict({
      'data': {
          'qps': (22, 27, 32, 37),
          'patch_size': 48,
          'stride': 48,
          'chroma_stride': 34,
      },
      'network': {'filters': (32,) * 7, 'activation_dtype': 'bfloat16'},
      'loss': {
          'balance': 'class',
          'lambda_w': 1e-5,
          'lambda_s': 1e-5,
          'lambda_lda': 3e-6,
      },
      'optimizer': {
          'name': 'adam',
          'learning_rate': 2e-3,
          'schedule': 'cosine',
          'warmup_steps': 200,
          'clip_norm': 1.0,
      },
      'training': {
          'steps': 3000,
          'batch_size': 32,
          'save_every_steps': 1000,
          'ema_decay': 0.998,
      },
  })
