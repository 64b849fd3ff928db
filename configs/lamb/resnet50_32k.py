"""ResNet-50 on ImageNet with batch 32768 by LAMB (arXiv:1904.00962).

    python scripts/lamb/train_image_classifier.py \
        --config=configs/lamb/resnet50_32k.py --data_dir=TFDS \
        --model_dir=MODEL --mode=train_and_eval --use_tpu --tpu_name=NAME

Learning rate .04, 782 steps of warmup, 3519 steps (90 epochs), decay 1.5,
label smoothing 0.1: the authors' settings. Other batches: resnet50.py.

Expected (the authors' log): top-1 .76337, top-5 .93018. Expected time: not
known. Never run here, for want of the data and the processors.
"""

import dataclasses

import ml_collections

from lamb.images import recipes


def get_config() -> ml_collections.ConfigDict:
  """Returns the experiment."""
  return ml_collections.ConfigDict(
      dataclasses.asdict(recipes.resnet50(32768)))
