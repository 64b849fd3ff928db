import pytest

from lamb import errors
from lamb.images import recipes


@pytest.mark.parametrize('batch, rate, steps', [
    (32768, 0.04, 3519), (8192, 0.02, 14075), (512, 0.005, 225205)])
def test_resnet_rate_grows_by_the_square_root_of_the_batch(batch, rate, steps):
  config = recipes.resnet50(batch)
  assert config.optimizer.learning_rate == pytest.approx(rate)
  assert config.optimizer.warmup_steps == 782
  assert config.training.steps == steps
  assert config.training.label_smoothing == 0.1
  assert config.optimizer.weight_decay == 1.5


def test_davidnet_trains_24_epochs_of_batch_512():
  config = recipes.davidnet('momentum')
  assert config.training.steps == 24 * 97
  assert config.training.batch_size == 512
  assert (config.optimizer.learning_rate, config.optimizer.nesterov) == (
      0.4, True)


def test_unknown_optimizer_and_too_large_batch_are_refused():
  with pytest.raises(errors.InputError, match="'sgd', expected one of"):
    recipes.davidnet('sgd')
  with pytest.raises(errors.InputError, match='expected a smaller batch'):
    recipes.resnet50(1 << 20)
