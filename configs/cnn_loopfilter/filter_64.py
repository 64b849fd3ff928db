"""The 8x64 network of the shipped filter: the paper's network, our recipe.

  python scripts/cnn_loopfilter/prepare_frames.py \
      --config=configs/cnn_loopfilter/filter_64.py \
      --input=PICTURES --output=PATCHES
  python scripts/cnn_loopfilter/train.py \
      --config=configs/cnn_loopfilter/filter_64.py --mode=train_and_eval \
      --data_dir=PATCHES --eval_dir=HELD_OUT --model_dir=MODEL

Departs from the paper: 48x48 patches; each patch's error counts relative to
what the codec leaves at its QP and component; a stronger factor of the
batch-norm scales (the loss without a filter is 1 here); weights averaged over
about a thousand steps. 20,000 steps take about 50 minutes on two quick cores
in bfloat16 (0.15 s a step; 0.26 s in float32:
--config.network.activation_dtype=float32). A longer run is made of pieces:
--config.training.warm_start=FILTER.npz and another --model_dir.
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
      'network': {'filters': (64,) * 7, 'activation_dtype': 'bfloat16'},
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
          'steps': 20000,
          'batch_size': 32,
          'save_every_steps': 1000,
          'evaluate_every_steps': 2000,
          'ema_decay': 0.999,
      },
      # One bit more than 8 costs nothing: all sums still fit float32.
      'quantization': {'output_bits': 9},
  })
