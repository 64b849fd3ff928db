"""The experiments of arXiv:1904.00962 on pictures, as configurations."""

from lamb import errors
from lamb import schedules
from lamb.images import config

_IMAGENET_IMAGES = 1_281_167
_CIFAR_IMAGES = 50_000
_CIFAR_BATCH = 512
_CIFAR_EPOCHS = 24
_CIFAR_WARMUP_EPOCHS = 5

# Peak learning rate and weight decay for CIFAR-10. Momentum's are DavidNet's
# own; the authors' for the others were not available, these are ours and not
# tuned.
_DAVIDNET_RATES = {
    'momentum': (0.4, 5e-4),
    'lamb': (0.02, 0.01),
    'lars': (2.0, 5e-4),
    'adamw': (0.002, 0.01),
}


def resnet50(batch_size: int) -> config.Config:
  """Returns LAMB's untuned recipe for ResNet-50 on ImageNet.

  Learning rate by the square root of the batch, 782 warmup steps, 90 epochs
  (`schedules.imagenet_recipe`); gradients clipped to a global norm of 1 and no
  bias correction, as in the authors' code.

  Args:
    batch_size: images in a step, at most some 147000, where the warmup would
      not end.

  Raises:
    InputError: The batch is too small or too large.
  """
  recipe = schedules.imagenet_recipe(batch_size)
  epoch = max(1, round(_IMAGENET_IMAGES / batch_size))
  return config.Config(
      optimizer=config.OptimizerConfig(
          name='lamb', learning_rate=recipe.learning_rate,
          warmup_steps=recipe.warmup_steps, power=recipe.power,
          form=recipe.form, weight_decay=recipe.weight_decay),
      training=config.TrainingConfig(
          batch_size=batch_size, eval_batch_size=1024,
          steps=recipe.total_steps, label_smoothing=recipe.label_smoothing,
          save_every_steps=epoch, evaluate_every_steps=5 * epoch))


def davidnet(optimizer: str) -> config.Config:
  """Returns the recipe of DavidNet on CIFAR-10: 24 epochs of batch 512.

  The learning rate rises over 5 epochs and falls to 0 over 19.

  Args:
    optimizer: one of `config.OPTIMIZERS`.

  Raises:
    InputError: The optimizer is not known.
  """
  if optimizer not in _DAVIDNET_RATES:
    raise errors.InputError(
        f'optimizer: got {optimizer!r}, expected one of '
        f'{", ".join(_DAVIDNET_RATES)}.')
  rate, decay = _DAVIDNET_RATES[optimizer]
  epoch = _CIFAR_IMAGES // _CIFAR_BATCH
  return config.Config(
      data=config.DataConfig(
          dataset='cifar10', eval_split='test', num_classes=10, image_size=32,
          augmentation='cifar', shuffle_records=_CIFAR_IMAGES),
      network=config.NetworkConfig(name='davidnet'),
      optimizer=config.OptimizerConfig(
          name=optimizer, learning_rate=rate, weight_decay=decay,
          warmup_steps=_CIFAR_WARMUP_EPOCHS * epoch,
          nesterov=optimizer == 'momentum', clip_norm=0.0),
      training=config.TrainingConfig(
          batch_size=_CIFAR_BATCH, eval_batch_size=1000,
          steps=_CIFAR_EPOCHS * epoch, save_every_steps=epoch,
          evaluate_every_steps=epoch))
