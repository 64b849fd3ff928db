"""Grey and white matter of the ICBM 152 template at 2 mm: the demo's network.

  python scripts/demo.py        (or: make demo)

About five minutes on two cores. Trained on the back of one brain, tested on
its front, on a 2x2x1 mesh of four virtual devices.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the experiment."""
  return ml_collections.ConfigDict({
      'data': {
          'size': (80, 40, 80),
          'num_classes': 3,
          'normalization': 'zscore',
          'augmentation': {
              'flip_axes': (0, 1),
              'rotate_180': False,
              'rotation_degrees': 10.0,
              'scaling': 0.1,
              'contrast': 0.3,
              'brightness': 0.3,
              'gamma': 0.2,
              'noise_fine': 0.15,
              'bias_field': 0.2,
          },
      },
      'mesh': {'spatial_split': (2, 2, 1)},
      'network': {
          'base_filters': 12,
          'levels': 3,
          'normalization': 'instance',
          'dropout_keep': 1.0,
      },
      'loss': {
          'dice_weight': 0.5,
          'dice_classes': (1, 2),
          'class_weights': (),
      },
      'optimizer': {
          'name': 'adam',
          'learning_rate': 3e-3,
          'schedule': 'cosine',
          'warmup_steps': 20,
          'clip_norm': 1.0,
      },
      'training': {
          'steps': 400,
          'batch_size': 1,
          'seed': 0,
          'save_every_steps': 100,
          'evaluate_every_steps': 400,
          'summary_every_steps': 50,
          'ema_decay': 0.98,
      },
  })
