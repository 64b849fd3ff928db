"""Reaches a TPU, or makes one up to build its program without it.

A TPU is initialised here, once, and not again by TPUEstimator: the variables
of a Mesh-TensorFlow job lie on the cores, and initialising would lose them.
"""

import dataclasses
import functools

import tensorflow as tf
from tensorflow.python.tpu import tpu_system_metadata

from mtf_unet import errors
from mtf_unet import tensorflow_errors
from mtf_unet import tpu_mesh

# Stands for a master where there is none; nothing ever connects to it.
_MADE_MASTER = 'grpc://made-topology'
# Once reached, a large TPU takes minutes to initialise.
_INITIALIZE_MS = 10 * 60 * 1000
Metadata = tpu_system_metadata.TPUSystemMetadata
Resolver = tf.distribute.cluster_resolver.TPUClusterResolver


@dataclasses.dataclass(frozen=True)
class System:
  """A TPU.

  Attributes:
    topology: which core hangs on which host.
    master: TensorFlow server of its first host; '' on that host itself.
    resolver: knows the servers of all hosts of a named TPU, else None.
  """
  topology: tpu_mesh.Topology
  master: str = ''
  resolver: Resolver | None = None

  @property
  def is_made(self) -> bool:
    """Whether nothing can be run on it."""
    return self.master == _MADE_MASTER

  @property
  def is_local(self) -> bool:
    """Whether this process runs on its only host."""
    return not self.master

  @property
  def hosts(self) -> int:
    """Number of hosts."""
    return self.topology.num_tasks

  @property
  def cores(self) -> int:
    """Number of cores, those of all hosts."""
    return self.hosts * self.topology.num_tpus_per_task

  @functools.cached_property
  def assignment(self) -> tpu_mesh.DeviceAssignment:
    """Which replica runs on which core."""
    return tpu_mesh.assignment(self.topology)

  def host_devices(self) -> list[str]:
    """Names the CPU device of every host."""
    return [self.assignment.host_device(
        replica=self.assignment.lookup_replicas(host, 0)[0], job=self.job)
            for host in range(self.hosts)]

  @property
  def job(self) -> str | None:
    """Name of the job that the hosts' devices belong to, if any."""
    return tpu_system_metadata.master_job(
        self.master, self.session_config().cluster_def)

  def session_config(self) -> tf.compat.v1.ConfigProto:
    """Returns the config of sessions on this TPU.

    A training and a prediction that run side by side have variables of the
    same names; sessions of a server share those unless isolated.
    """
    return _session_config(self.resolver)

  def metadata(self) -> Metadata:
    """Returns what TPUEstimator would ask the TPU for."""
    return Metadata(
        num_cores=self.cores, num_hosts=self.hosts,
        num_of_cores_per_host=self.topology.num_tpus_per_task,
        topology=self.topology, devices=())


def made(cores: int) -> System:
  """Makes up a TPU; see `tpu_mesh.made_topology`."""
  return System(tpu_mesh.made_topology(cores), _MADE_MASTER)


def reach(*, name: str | None = None, zone: str | None = None,
          project: str | None = None, master: str = '',
          timeout_s: float = 60.0) -> System:
  """Connects to a TPU and initialises it.

  Args:
    name: of a Cloud TPU; else the TPU is that of `master`.
    zone: of the named TPU; by default this machine's.
    project: of the named TPU; likewise.
    master: grpc://host:port of its first host; '' where the TPU is attached
      to this machine.
    timeout_s: how long to wait for a first answer.

  Raises:
    InputError: if none is reached, saying where none was.
  """
  if name and master:
    raise errors.InputError(
        f'--master: got {master} beside --tpu_name={name}, expected one of '
        'the two')
  resolver = _resolver(name, zone, project) if name else None
  master = resolver.master() if resolver else master
  where = (f'--tpu_name={name}' if name else
           f'--master={master}' if master else 'this machine')
  config = _session_config(resolver)
  config.operation_timeout_in_ms = round(timeout_s * 1000)
  try:
    with tf.Graph().as_default(), tf.compat.v1.Session(
        master, config=config) as session:
      _check_devices(session.list_devices(), where)
      topology = session.run(
          tf.compat.v1.tpu.initialize_system(),
          options=tf.compat.v1.RunOptions(timeout_in_ms=_INITIALIZE_MS))
  except tf.errors.OpError as error:
    raise errors.InputError(
        f'--use_tpu: {where} was not reached within {timeout_s:g} s '
        f'({tensorflow_errors.reason(error)}); expected the address of a '
        'running TPU') from error
  return System(tpu_mesh.Topology(serialized=topology), master, resolver)


def _resolver(name, zone, project):
  # Looking a name up raises whatever the client libraries do: a missing
  # module, a refused connection, an unknown zone.
  try:
    resolver = Resolver(tpu=name, zone=zone, project=project)
    resolver.master()
    return resolver
  except Exception as error:
    raise errors.InputError(
        f'--use_tpu: --tpu_name={name} was not found '
        f'({tensorflow_errors.reason(error)}); expected the name of a TPU of '
        '--gcp_project in --tpu_zone, or --master=grpc://HOST:8470') from error


def _session_config(resolver):
  config = tf.compat.v1.ConfigProto(
      allow_soft_placement=True, isolate_session_state=True)
  cluster = resolver.cluster_spec() if resolver else None
  if cluster:
    config.cluster_def.CopyFrom(cluster.as_cluster_def())
  return config


def _check_devices(devices, where):
  if any(device.device_type == 'TPU' for device in devices):
    return
  kinds = ', '.join(sorted({device.device_type for device in devices}))
  raise errors.InputError(
      f'--use_tpu: {where} has no TPU (its devices: {kinds}), expected '
      '--tpu_name or --master of a TPU, or to run on a TPU VM; --dry_run '
      '--tpu_cores=8 builds the program without one')
