"""ResNet-50 on ImageNet by LAMB's untuned recipe (arXiv:1904.00962).

    python scripts/lamb/train_image_classifier.py \
        --config=configs/lamb/resnet50.py:4096 --data_dir=TFDS \
        --model_dir=MODEL --mode=train_and_eval

The batch stands behind the colon. Learning rate 4/(2^k 100), 782 steps of
warmup, 90 epochs, decay 1.5, label smoothing 0.1.

Expected top-1 (PyTorch repository of the authors' group): batch 4K .7714, 8K
.7731, 16K .7691, 32K .7671. Expected time: not known. Never run here, for want
of the data and the processors.
"""

import dataclasses

import ml_collections

from lamb import errors
from lamb.images import recipes


def get_config(batch_size: str = '32768') -> ml_collections.ConfigDict:
  """Returns the experiment.

  Args:
    batch_size: images in a step.

  Raises:
    InputError: It is no whole number, or too small or large.
  """
  if not batch_size.isdigit():
    raise errors.InputError(
        f'batch size: got {batch_size!r}, expected a whole number.')
  return ml_collections.ConfigDict(
      dataclasses.asdict(recipes.resnet50(int(batch_size))))
