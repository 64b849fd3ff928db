"""Hippocampus MR at four resolutions, whole volumes against patches.

  python scripts/reproduce_tables.py --table=unet_dice_by_resolution \
      --hippocampus=Task04_Hippocampus

runs all of them; one alone:

  python scripts/mtf_unet/train.py --mode=train --data_dir=PREPARED \
      --config=configs/mtf_unet/hippocampus_resolution.py:1.5mm_whole \
      --model_dir=MODEL

The argument is 1mm, 1.5mm, 2mm or 3mm, then `_whole` or `_patches`. A patch has
as many voxels as the whole volume at 3 mm, so that the memory of a device that
holds that and no more buys either the whole at 3 mm or a part of it in detail.
At a resolution both see the same number of voxels in a step. Network, steps and
changes of the training volumes (in mm) are the same everywhere.
"""

import ml_collections

# Voxels that hold every volume of the data set, by mm.
_SIZES = {'1mm': (48, 64, 48), '1.5mm': (32, 40, 32), '2mm': (24, 32, 24),
          '3mm': (16, 24, 16)}
_PATCH = _SIZES['3mm']
_BATCH = 2
VARIANTS = tuple(f'{spacing}_{kind}' for spacing in _SIZES
                 for kind in ('whole', 'patches')
                 if (spacing, kind) != ('3mm', 'patches'))


def get_config(variant: str = '1mm_whole') -> ml_collections.ConfigDict:
  """Returns the experiment.

  Args:
    variant: one of `VARIANTS`.
  """
  if variant not in VARIANTS:
    raise ValueError(f'variant: got {variant!r}, expected one of {VARIANTS}')
  spacing, kind = variant.split('_')
  config = _common(float(spacing.removesuffix('mm')))
  config.data.size = _SIZES[spacing]
  if kind == 'patches':
    config.data.size = _PATCH
    config.data.patches = True
    config.prediction.method = 'sliding_window'
    config.training.batch_size = round(
        _BATCH * _voxels(_SIZES[spacing]) / _voxels(_PATCH))
  return config


def _voxels(size):
  return size[0] * size[1] * size[2]


def _common(spacing_mm):
  return ml_collections.ConfigDict({
      'data': {
          'spacing_mm': (spacing_mm,) * 3,
          'num_classes': 3,
          'normalization': 'zscore',
          'augmentation': {
              'flip_axes': (0,),
              'rotate_180': False,
              'rotation_degrees': 15.0,
              'scaling': 0.15,
              'translation_voxels': 3.0 / spacing_mm,
              'contrast': 0.2,
              'brightness': 0.2,
              'gamma': 0.2,
              'noise_fine': 0.1,
          },
      },
      'network': {
          'base_filters': 16,
          'levels': 4,
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
          'learning_rate': 1e-3,
          'schedule': 'cosine',
          'warmup_steps': 50,
          'weight_decay': 1e-4,
          'clip_norm': 1.0,
      },
      'training': {
          'steps': 1500,
          'batch_size': _BATCH,
          'seed': 0,
          'save_every_steps': 250,
          'evaluate_every_steps': 500,
          'ema_decay': 0.99,
      },
      'prediction': {},
  })
