"""A filter within 17 kMAC for a luma pixel.

  python scripts/cnn_loopfilter/train.py \
      --config=configs/cnn_loopfilter/filter_17k.py --mode=train_and_eval \
      --data_dir=PATCHES --eval_dir=HELD_OUT --model_dir=MODEL

The paper's network, 8 layers of 14 filters: 10,962 MACs for a sample of a
component, 16.4 kMAC for a luma pixel with its 4:2:0 chroma. 17 kMAC is the
budget of NNVC's low-operating-point filter. Patches
and recipe are those of filter_64.py, with a larger rate and more steps, each of
which is cheap.
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
      'network': {'filters': (14,) * 7, 'activation_dtype': 'bfloat16'},
      'loss': {
          'balance': 'class',
          'lambda_w': 1e-5,
          # Nothing is to be pruned.
          'lambda_s': 0.0,
          'lambda_lda': 0.0,
      },
      'optimizer': {
          'name': 'adam',
          'learning_rate': 4e-3,
          'schedule': 'cosine',
          'warmup_steps': 200,
          'clip_norm': 1.0,
      },
      'training': {
          'steps': 24000,
          'batch_size': 32,
          'save_every_steps': 1000,
          'evaluate_every_steps': 2000,
          'ema_decay': 0.999,
      },
      # One bit more than 8 costs nothing: all sums still fit float32.
      'quantization': {'output_bits': 9},
  })
