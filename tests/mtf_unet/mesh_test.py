"""Blocks on devices."""

import pytest

from mtf_unet import errors
from mtf_unet import layout
from mtf_unet import mesh as mesh_lib
from tests.mtf_unet import lowered


def _partition(*args, **kwargs):
  return layout.partition(lowered.split(*args, **kwargs))


def test_each_block_has_its_own_virtual_device():
  impl = mesh_lib.placement_mesh(_partition(2, 2, 1))
  assert impl.devices == [f'/device:CPU:{i}' for i in range(4)]
  assert impl.shape.to_string == 'Shape[x_blocks=2, y_blocks=2]'


def test_blocks_that_follow_each_other_share_a_device():
  impl = mesh_lib.placement_mesh(_partition(2, 2, 1, devices=2))
  assert impl.devices == ['/device:CPU:0'] * 2 + ['/device:CPU:1'] * 2


def test_devices_may_be_named():
  names = [f'/job:worker/task:{i}/device:CPU:0' for i in range(3)]
  impl = mesh_lib.placement_mesh(_partition(2, 1, 1), names)
  assert impl.devices == names[:2]


def test_too_few_devices_are_refused():
  with pytest.raises(errors.InputError,
                     match='x_blocks:4 needs 4 devices, got 1: /device:CPU:0'):
    mesh_lib.placement_mesh(_partition(4, 1, 1), ['/device:CPU:0'])


def test_master_weights_lie_on_the_first_worker_s_processor():
  names = [f'/job:worker/replica:0/task:{i}/device:GPU:1' for i in range(2)]
  assert mesh_lib.variable_placer(names).device_function(None) == (
      '/job:worker/replica:0/task:0/device:CPU:0')


@pytest.mark.parametrize('devices', [None, ['/device:CPU:0']])
def test_master_weights_of_one_process_lie_anywhere(devices):
  assert mesh_lib.variable_placer(devices) is None


def test_session_has_a_device_for_each_part():
  config = mesh_lib.session_config(_partition(2, 2, 2, devices=4))
  assert config.device_count['CPU'] == 4
