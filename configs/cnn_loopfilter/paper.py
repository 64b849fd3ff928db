"""The loop filter as far as the paper tells it (arXiv:1805.06121).

  python scripts/cnn_loopfilter/prepare_frames.py \
      --config=configs/cnn_loopfilter/paper.py --input=PICTURES --output=PATCHES
  python scripts/cnn_loopfilter/train.py \
      --config=configs/cnn_loopfilter/paper.py --mode=train_and_eval \
      --data_dir=PATCHES --eval_dir=HELD_OUT --model_dir=MODEL

8 layers of 64 filters, 35x35 patches at QP 22, 27, 32 and 37, the paper's
three factors. Optimizer, batch and length are not known to us; the start of
the last layer and the scale of the residual are ours, without them the
pictures become worse. About 4 hours on two cores; filter_64.py is the recipe
that the shipped filter comes from.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the experiment."""
  return ml_collections.ConfigDict({
      'data': {'qps': (22, 27, 32, 37), 'patch_size': 35},
      'network': {'filters': (64,) * 7, 'kernel_size': 3},
      'loss': {'lambda_w': 1e-5, 'lambda_s': 5e-8, 'lambda_lda': 3e-6},
      'optimizer': {
          'name': 'adam',
          'learning_rate': 1e-3,
          'schedule': 'cosine',
          'warmup_steps': 100,
          'clip_norm': 1.0,
      },
      'training': {'steps': 100000, 'batch_size': 32, 'augment': False},
  })
