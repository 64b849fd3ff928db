import numpy as np
import pytest

from mtf_unet import errors
from mtf_unet import trained_weights
from tests.mtf_unet import jobs

_NETWORK = {'levels': 1, 'convolutions_per_level': 1}


@pytest.mark.parametrize('decay', [0.0, 0.5], ids=['weights', 'averages'])
def test_the_weights_to_predict_with_are_read_by_name(tmp_path, decay):
  config = jobs.config(network=_NETWORK, training={'ema_decay': decay})
  jobs.write_weights(tmp_path, config)
  came = trained_weights.read(f'{tmp_path}/model.ckpt-1', config)
  assert set(came) == {'head/kernel', 'head/bias'} | {
      f'encoder_0_0/{name}' for name in (
          'kernel', 'gamma', 'beta', 'moving_mean', 'moving_variance')}
  stored = jobs.weights(tmp_path / 'model.ckpt-1')
  prefix = 'ema/' if decay else ''
  np.testing.assert_array_equal(came['head/kernel'],
                                stored[f'{prefix}head/kernel'])
  np.testing.assert_array_equal(came['encoder_0_0/moving_mean'],
                                stored['encoder_0_0/moving_mean'])


@pytest.mark.parametrize('changes, words', [
    ({'levels': 2}, 'not found'), ({'base_filters': 3}, 'has shape')], ids=str)
def test_another_network_is_told_in_one_line(tmp_path, changes, words):
  training = {'ema_decay': 0.0}
  jobs.write_weights(tmp_path, jobs.config(network=_NETWORK,
                                           training=training))
  with pytest.raises(errors.InputError, match=words) as told:
    trained_weights.read(f'{tmp_path}/model.ckpt-1', jobs.config(
        network=_NETWORK | changes, training=training))
  assert '\n' not in str(told.value)
