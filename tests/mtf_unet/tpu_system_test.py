"""A TPU that answers is played by a session; one that does not is real."""

import types

import pytest
import tensorflow as tf

from mtf_unet import errors
from mtf_unet import tpu_mesh
from mtf_unet import tpu_system


class _Session:
  """What a session on a TPU answers."""

  opened = []

  def __init__(self, master, config):
    self.opened.append((master, config))

  def __enter__(self):
    return self

  def __exit__(self, *_):
    return None

  def list_devices(self):
    return [types.SimpleNamespace(device_type=kind) for kind in ('CPU', 'TPU')]

  def run(self, operation, options):
    assert options.timeout_in_ms > 0
    assert operation.op.type == 'ConfigureDistributedTPU'
    return tpu_mesh.made_topology(16).serialized()


def test_a_tpu_tells_its_cores_and_is_initialised_once(monkeypatch):
  monkeypatch.setattr(tf.compat.v1, 'Session', _Session)
  system = tpu_system.reach(master='grpc://10.0.0.2:8470', timeout_s=5)
  assert (system.cores, system.hosts, system.is_made) == (16, 2, False)
  (master, config), = _Session.opened
  assert master == system.master == 'grpc://10.0.0.2:8470'
  assert config.operation_timeout_in_ms == 5000
  # Sessions of the job may take longer, and keep their variables apart.
  assert system.session_config().operation_timeout_in_ms == 0
  assert system.session_config().isolate_session_state
  metadata = system.metadata()
  assert (metadata.num_cores, metadata.num_hosts,
          metadata.num_of_cores_per_host) == (16, 2, 8)


@pytest.mark.parametrize('cores, devices', [
    (8, ['/job:tpu_worker/task:0/device:CPU:0']),
    (16, [f'/job:tpu_worker/task:{i}/device:CPU:0' for i in range(2)]),
], ids=['1 host', '2 hosts'])
def test_hosts_have_a_device_each(cores, devices):
  system = tpu_system.made(cores)
  assert system.is_made
  assert system.host_devices() == devices


def test_the_tpu_of_this_machine_has_no_job():
  system = tpu_system.System(tpu_mesh.made_topology(8))
  assert system.job is None
  assert system.host_devices() == ['/task:0/device:CPU:0']


def test_a_machine_without_tpu_is_told():
  with pytest.raises(errors.InputError, match=(
      'this machine has no TPU .its devices: .*CPU.*--dry_run')):
    tpu_system.reach()


def test_a_server_that_does_not_answer_is_told():
  with pytest.raises(errors.InputError, match=(
      '--master=grpc://127.0.0.1:1 was not reached within 0.5 s')) as told:
    tpu_system.reach(master='grpc://127.0.0.1:1', timeout_s=0.5)
  assert '\n' not in str(told.value)


def test_a_name_that_nobody_knows_is_told(monkeypatch):
  def refuse(tpu, zone, project):
    raise RuntimeError(f'no {tpu} in {zone} of {project}')
  monkeypatch.setattr(tpu_system, 'Resolver', refuse)
  with pytest.raises(errors.InputError, match=(
      '--tpu_name=it was not found .no it in here of us.')):
    tpu_system.reach(name='it', zone='here', project='us')


def test_a_name_beside_an_address_is_refused():
  with pytest.raises(errors.InputError, match='expected one of the two'):
    tpu_system.reach(name='it', master='grpc://10.0.0.2:8470')
