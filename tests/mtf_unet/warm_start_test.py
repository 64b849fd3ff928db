"""What of an older checkpoint a new training starts from."""

import numpy as np
import pytest
import tensorflow as tf

from mtf_unet import errors
from mtf_unet import warm_start
from tests.mtf_unet import jobs

_STORED = {
    'encoder/kernel': np.ones(3), 'ema/encoder/kernel': np.full(3, 2.0),
    'encoder/kernel/adam_m': np.zeros(3), 'encoder/moving_mean': np.ones(3),
    'head/kernel': np.ones((3, 2)), 'ema/head/kernel': np.ones((3, 2))}


def _map(path, head):
  with tf.Graph().as_default():
    make = lambda name, shape, trainable=True: tf.compat.v1.get_variable(
        name, shape, trainable=trainable)
    variables = [
        make('encoder/kernel', [3]), make('head/kernel', head),
        make('encoder/moving_mean', [3], False),
        make('encoder/kernel/adam_m', [3], False),
        make('encoder/kernel_slot_vr', [3], False),
        make('ema/encoder/kernel', [3], False),
        make('global_step', [], False)]
    return warm_start.map_variables(path, variables)


@pytest.mark.parametrize('head, found, left', [
    ([3, 2], {'ema/head/kernel': 'head/kernel'}, []),
    ([3, 5], {}, ['head/kernel']),
], ids=['same classes', 'other classes'])
def test_warm_start_takes_averages_and_leaves_state_behind(tmp_path, head,
                                                           found, left):
  path = jobs.write_checkpoint(tmp_path, 7, _STORED)
  assert _map(path, head) == ({
      'ema/encoder/kernel': 'encoder/kernel',
      'encoder/moving_mean': 'encoder/moving_mean', **found}, left)


def test_warm_start_from_another_network_is_refused(tmp_path):
  with pytest.raises(errors.InputError, match='no variable of'):
    _map(jobs.write_checkpoint(tmp_path, 7, {'other': np.ones(3)}), [3, 2])


def test_warm_start_takes_a_file_or_its_folder(tmp_path):
  path = jobs.write_checkpoint(tmp_path, 7)
  assert warm_start.resolve(path) == path
  assert warm_start.resolve(str(tmp_path)) == path
  with pytest.raises(errors.InputError, match='training.warm_start'):
    warm_start.resolve(str(tmp_path / 'missing'))
