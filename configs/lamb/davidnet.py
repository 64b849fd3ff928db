"""DavidNet on CIFAR-10: 24 epochs of batch 512 (arXiv:1904.00962).

    python scripts/lamb/train_image_classifier.py \
        --config=configs/lamb/davidnet.py:lamb --data_dir=TFDS \
        --model_dir=MODEL --mode=train_and_eval

The optimizer stands behind the colon: lamb, lars, adamw or momentum. Momentum's
learning rate and decay are DavidNet's own; those of the others are ours and
not tuned, as the authors' were not available.

Expected test accuracy (the authors' log): LAMB .940875, Adam .9267. Expected
time: not known; 2328 steps. Never run here, for want of the data.
"""

import dataclasses

import ml_collections

from lamb.images import recipes


def get_config(optimizer: str = 'lamb') -> ml_collections.ConfigDict:
  """Returns the experiment.

  Args:
    optimizer: lamb, lars, adamw or momentum.
  """
  return ml_collections.ConfigDict(
      dataclasses.asdict(recipes.davidnet(optimizer)))
