"""Hippocampus MR (Medical Segmentation Decathlon, Task04) on a 2x2x1 mesh.

  python scripts/mtf_unet/prepare_volumes.py \
      --config=configs/mtf_unet/hippocampus.py \
      --input=Task04_Hippocampus --data_dir=PREPARED
  python scripts/mtf_unet/train.py --config=configs/mtf_unet/hippocampus.py \
      --mode=train --data_dir=PREPARED --model_dir=MODEL
  python scripts/mtf_unet/train.py --config=configs/mtf_unet/hippocampus.py \
      --mode=eval --data_dir=PREPARED --model_dir=MODEL

About 40 minutes on two cores; mean Dice 0.886 on the 40 validation cases
(docs/unet.md).

Two variants add what nnU-Net does beside: deep supervision, the mean over
mirrored volumes, only the largest component of each label, and an ensemble of
five networks. In `hippocampus.py:ensemble` they differ by their seed. They
train on crops of 40x56x40 voxels, which hold most volumes nearly whole: a step
takes 0.6 of the time. For each K of 0, 1, 2, 3, 4

  ... --config=configs/mtf_unet/hippocampus.py:ensemble --mode=train \
      --data_dir=PREPARED --model_dir=MODEL_K --config.training.seed=K

and then

  ... --config=configs/mtf_unet/hippocampus.py:ensemble --mode=eval --report \
      --data_dir=PREPARED --model_dir=MODEL_0 --ensemble=MODEL_1 \
      --ensemble=MODEL_2 --ensemble=MODEL_3 --ensemble=MODEL_4

In `hippocampus.py:folds` each leaves out another fifth of the training cases,
so that choices can be made on these. For each K

  ... --config=configs/mtf_unet/hippocampus.py:folds --mode=train \
      --data_dir=PREPARED --model_dir=MODEL_K --config.data.fold=K

and for the 40 validation cases, which no fold has seen,

  ... --config=configs/mtf_unet/hippocampus.py:folds --mode=eval --report \
      --data_dir=PREPARED --config.data.folds=0 --model_dir=MODEL_0 \
      --ensemble=MODEL_1 --ensemble=MODEL_2 --ensemble=MODEL_3 \
      --ensemble=MODEL_4

Neither was run to the end yet; docs/unet.md has what two seeds reach.
"""

import ml_collections

_VARIANTS = ('', 'ensemble', 'folds')


def get_config(variant: str = '') -> ml_collections.ConfigDict:
  """Returns the experiment.

  Args:
    variant: one of `_VARIANTS`, as above.
  """
  if variant not in _VARIANTS:
    raise ValueError(f'variant: got {variant!r}, expected one of {_VARIANTS}')
  config = _plain()
  if variant:
    config.network.deep_supervision = 2
    config.prediction = ml_collections.ConfigDict({
        'flip_axes': (0,), 'largest_component': (1, 2)})
  if variant == 'ensemble':
    config.data.size = (40, 56, 40)
    config.data.patches = True
    config.mesh.spatial_split = (1, 1, 1)
    config.training.steps = 6000
  if variant == 'folds':
    config.data.folds = 5
    config.data.fold = 0
  return config


def _plain():
  return ml_collections.ConfigDict({
      'data': {
          'size': (48, 64, 48),
          'num_classes': 3,
          'normalization': 'zscore',
          'augmentation': {
              'flip_axes': (0,),
              'rotate_180': False,
              'rotation_degrees': 15.0,
              'scaling': 0.15,
              'translation_voxels': 3.0,
              'contrast': 0.2,
              'brightness': 0.2,
              'gamma': 0.2,
              'noise_fine': 0.1,
          },
      },
      'mesh': {'spatial_split': (2, 2, 1)},
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
          'steps': 4000,
          'batch_size': 2,
          'seed': 0,
          'save_every_steps': 200,
          'evaluate_every_steps': 500,
          'ema_decay': 0.995,
      },
  })
