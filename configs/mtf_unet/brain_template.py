"""Grey and white matter of the ICBM 152 template at 2 mm: the demo's network.

  python scripts/demo.py        (or: make demo)

About eight minutes on two cores. Trained on the back of one brain, tested on
its front, on a 2x2x1 mesh of four virtual devices.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the experiment."""
  return ml_collections.ConfigDict({
      'data': {
          'size': (80, 40, 80),
          'num_classes': 3,
          # A z-score would depend on how much of a part is background.
          'normalization': 'window',
          'window': (0.0, 300.0),
          'augmentation': {
              'flip_axes': (0, 1),
              'rotate_180': False,
              # No rotation or scaling: interpolated voxels would no longer
              # agree with labels that depend on a voxel's own mixture.
              'contrast': 0.05,
              'brightness': 0.03,
              'noise_fine': 0.05,
              'bias_field': 0.25,
              'intensity_probability': 0.12,
          },
      },
      'mesh': {'spatial_split': (2, 2, 1)},
      'network': {
          'base_filters': 16,
          'levels': 3,
          'normalization': 'batch',
          'batch_norm_momentum': 0.98,
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
          'steps': 1000,
          'batch_size': 1,
          'seed': 0,
          'save_every_steps': 100,
          'evaluate_every_steps': 1000,
          'summary_every_steps': 50,
          'ema_decay': 0.98,
      },
  })
